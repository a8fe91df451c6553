"""Configuration and rules, by Prometheus' own tools, and what those tools do not check."""

import os
import re
import subprocess

import pytest
import yaml

import rules

CONFIGURATIONS = ["prometheus.yml", "scrape-file.yml", "federation.yml", "remote-write.yml"]
SEVERITIES = {"critical", "warning", "info"}
SCOPES = {"exporter", "gateway", "slo"}
ALERTS = [pytest.param(rule, id=rule["alert"]) for rule in rules.alerts()]


def promtool(*arguments, program="promtool"):
    ended = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_is_valid(name):
    code, output = promtool("check", "config", rules.FOLDER / name)
    assert code == 0, output


def test_the_consul_configuration_is_valid_where_consul_is_known():
    program = os.environ.get("SLUICE_CONSUL_PROMTOOL", "promtool")
    code, output = promtool("check", "config", rules.FOLDER / "scrape-consul.yml", program=program)
    if "consul_sd_configs not found" in output:
        pytest.skip("this promtool was built without Consul; SLUICE_CONSUL_PROMTOOL names another one")
    assert code == 0, output


@pytest.mark.parametrize("file", rules.FILES, ids=lambda file: file.name)
def test_rules_are_valid(file):
    code, output = promtool("check", "rules", file)
    assert code == 0, output


@pytest.mark.parametrize("file", rules.TESTS, ids=lambda file: file.name)
def test_rules_do_what_their_tests_say(file):
    code, output = promtool("test", "rules", file)
    assert code == 0, output


def what_is_tested():
    """Of all rule tests: the expressions evaluated; by alert, whether it was seen firing and seen not firing."""
    expressions, firing, silent = [], set(), set()
    for file in rules.TESTS:
        for test in yaml.safe_load(file.read_text())["tests"]:
            expressions += [case["expr"] for case in test.get("promql_expr_test", []) if case.get("exp_samples")]
            for case in test.get("alert_rule_test", []):
                if case.get("exp_alerts"):
                    firing |= {(case["alertname"], alert["exp_labels"].get("window")) for alert in case["exp_alerts"]}
                else:
                    silent.add(case["alertname"])
    return expressions, firing, silent


@pytest.mark.parametrize("rule", ALERTS)
def test_every_alert_is_seen_firing_and_not_firing(rule):
    _, firing, silent = what_is_tested()
    assert (rule["alert"], rule["labels"].get("window")) in firing
    assert rule["alert"] in silent


@pytest.mark.parametrize("name", sorted({rule["record"] for rule in rules.recorded()}))
def test_every_recorded_series_has_its_value_tested(name):
    expressions, _, _ = what_is_tested()
    assert any(re.search(rf"(?<![\w:]){re.escape(name)}(?![\w:])", expression) for expression in expressions)


@pytest.mark.parametrize("rule", ALERTS)
def test_every_alert_says_how_bad_it_is_and_what_to_do(rule):
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["labels"]["scope"] in SCOPES
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "first_look", "runbook"}
    # ExporterGone is the absence of a value.
    assert "$value" in annotations["description"] or rule["alert"] in ("ExporterGone", "ExporterUnreachable")
    assert annotations["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_the_runbook_has_a_section_for_each_alert_and_no_other():
    text = (rules.ROOT / "docs" / "runbook.md").read_text()
    sections = re.findall(r"^## (\w+)$", text, re.MULTILINE)
    assert len(sections) == len(set(sections))
    assert set(sections) == {rule["alert"] for rule in rules.alerts()}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        for part in ("**What it means.**", "**First look.**", "**What to do.**"):
            assert part in section, f"{section.splitlines()[0]} has no {part}"


def test_the_table_of_alerts_names_each_with_its_severity():
    text = (rules.ROOT / "docs" / "alerts.md").read_text()
    table = dict(re.findall(r"^\| \[(\w+)\]\(runbook\.md#\w+\) \| ([\w, ]+?) \|", text, re.MULTILINE))
    by_name = {}
    for rule in rules.alerts():
        by_name.setdefault(rule["alert"], set()).add(rule["labels"]["severity"])
    assert {name: set(severities.split(", ")) for name, severities in table.items()} == by_name


def test_burn_rate_alerts_are_those_of_the_table():
    text = (rules.FOLDER / "rules" / "slo.yml").read_text()
    table = re.findall(r"^#   (\w+) +(\w+) +([\d.]+) +(\d+) % +(critical|warning)$", text, re.MULTILINE)
    assert len(table) == 4
    burns = [rule for rule in rules.alerts() if rule["alert"].endswith("Burn")]
    assert len(burns) == 2 * len(table)
    for rule in burns:
        long, short, burn, share, severity = next(row for row in table if row[0] == rule["labels"]["window"])
        slo = re.search(r'slo="(\w+)"', rule["expr"]).group(1)
        assert rule["labels"]["severity"] == severity
        assert rule["expr"].split() == (
            f'slo:burn_rate:{long}{{slo="{slo}"}} > {burn}'
            f' and on (slo) slo:burn_rate:{short}{{slo="{slo}"}} > {burn}'
            f' and on (slo) sum_over_time(slo:bad:rate5m{{slo="{slo}"}}[{long}]) * 60 >= 10'
        ).split()
        # The share of the month's budget that is spent when the long window reaches its limit.
        assert float(burn) * rules.seconds(long) / rules.seconds("30d") == pytest.approx(int(share) / 100)
