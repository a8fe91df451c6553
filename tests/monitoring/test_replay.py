"""Incidents are put into a database and the prediction alerts replayed over them: lead time and false alarms."""

import subprocess
from dataclasses import dataclass

import pytest

import rules
from processes import Prometheus
from scenarios import DAY, HOUR, MIDNIGHT, SCENARIOS, STEP

EVALUATION = 60
PREDICTIONS = [rule for rule in rules.load("rules/prediction.yml")["groups"][0]["rules"]]


@dataclass
class Replay:
    """What became of one alert in one scenario. Times are seconds from the first midnight."""

    scenario: object
    alert: str
    # Each time that it fired: from, to.
    fired: list
    # When what it foretells came.
    limit: float | None

    @property
    def expected(self):
        return self.alert in self.scenario.expected

    @property
    def lead(self):
        return self.limit - self.fired[0][0] if self.fired and self.limit else None


def firing(points, lasting):
    """When an alert fires whose expression has these values: at every evaluation for as long as `for` says."""
    fired, since = [], None
    times = sorted(points)
    for index, at in enumerate(times):
        if index == 0 or at - times[index - 1] > EVALUATION:
            since = at
        if at - since >= lasting:
            if fired and fired[-1][1] == at - EVALUATION:
                fired[-1] = (fired[-1][0], at)
            else:
                fired.append((at, at))
    return fired


def first_at(scenario, gauge, limit):
    """When the gauge first is at the limit."""
    return next((at for at, value in scenario.samples()[gauge] if value >= limit), None)


def replay(scenario, folder):
    text = folder / "samples"
    folder.mkdir(parents=True)
    text.write_text(scenario.openmetrics())
    made = subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", text, folder / "data"],
        capture_output=True, text=True, timeout=300, check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    end = MIDNIGHT + int(scenario.days * DAY)
    found = []
    # The samples lie in the past: kept, however old.
    with Prometheus(folder, {"scrape_configs": []}, "--storage.tsdb.retention.time=100y") as prometheus:
        assert prometheus.value(f"count_over_time(model_requests_waiting[1d] @ {end})") == DAY / STEP
        for rule in PREDICTIONS:
            fired = []
            for _, values in prometheus.range(rule["expr"], MIDNIGHT, end, EVALUATION):
                fired += firing([at - MIDNIGHT for at in values], rules.seconds(rule["for"]))
            foretold = scenario.expected.get(rule["alert"])
            limit = first_at(scenario, *foretold) if foretold else None
            found.append(Replay(scenario, rule["alert"], fired, limit))
    return found


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    found = []
    for number, scenario in enumerate(SCENARIOS):
        found += replay(scenario, tmp_path_factory.mktemp("replay") / str(number))
    return found


def clock(seconds):
    return f"day {int(seconds // DAY) + 1}, {int(seconds % DAY // HOUR):02}:{int(seconds % HOUR // 60):02}"


def span(seconds):
    return f"{seconds / HOUR:.1f} h" if seconds >= 2 * HOUR else f"{seconds / 60:.0f} min"


def table(replayed):
    """The rows of docs/alerts.md."""
    rows = []
    for scenario in SCENARIOS:
        mine = [one for one in replayed if one.scenario is scenario]
        for one in mine:
            if one.expected:
                fires = clock(one.fired[0][0]) if one.fired else "never"
                limit = clock(one.limit) if one.limit else "–"
                lead = span(one.lead) if one.lead else "–"
                rows.append(f"| {scenario.name} | {one.alert} | {fires} | {limit} | {lead} |")
        false = [f"{one.alert} {len(one.fired)} ×" for one in mine if one.fired and not one.expected]
        rows.append(f"| {scenario.name} | false alarms | {', '.join(false) or 'none'} | | |")
    return rows


def of(replayed, name):
    found = {one.alert: one for one in replayed if one.scenario.name.startswith(name)}
    assert found
    return found


def test_the_table_in_the_documentation_is_what_the_replay_finds(replayed, capsys):
    rows = table(replayed)
    with capsys.disabled():
        print("\n" + "\n".join(rows))
    text = (rules.ROOT / "docs" / "alerts.md").read_text()
    for row in rows:
        assert row in text


def test_a_queue_that_climbs_is_foretold(replayed):
    assert of(replayed, "queue climbs to its bound in an hour")["QueueWillOverflow"].lead >= 15 * 60
    assert of(replayed, "queue climbs to its bound in 4 hours")["QueueWillOverflow"].lead >= 15 * 60


def test_a_kv_cache_that_climbs_is_foretold(replayed):
    assert of(replayed, "KV cache climbs")["KvWillFill"].lead >= 30 * 60


def test_a_kv_cache_that_leaks_is_foretold_hours_before(replayed):
    assert of(replayed, "KV cache leaks")["KvLeaking"].lead >= 6 * HOUR


def test_a_drop_is_noticed_and_its_end_and_its_echoes_are_no_alarms(replayed):
    found = of(replayed, "traffic falls")["TrafficUnlikeHourBefore"]
    assert len(found.fired) == 1
    # A day and a half follow: the hour after, and the same hours of the next day.
    assert DAY + 12 * HOUR < found.fired[0][0] < found.fired[0][1] < DAY + 14 * HOUR


def test_quiet_days_have_no_alarm(replayed):
    assert all(not one.fired for one in of(replayed, "quiet days").values())


def test_what_more_traffic_explains_is_no_leak(replayed):
    assert not of(replayed, "a Monday")["KvLeaking"].fired


def test_firing_needs_the_whole_time():
    minutes = [60 * minute for minute in (1, 2, 3, 5, 6, 7, 8)]
    assert firing(minutes, 120) == [(180, 180), (420, 480)]
    assert firing(minutes, 600) == []
