"""Rules name only what the metrics table has: a misspelt metric is an alert that never fires."""

import re

import pytest

import promql
import rules

# Of every scrape, and made by Prometheus itself.
SCRAPED = {"job", "instance"}
OWN = {"up": set(), "ALERTS": {"alertname", "alertstate", "severity"}}


def known(name):
    """The labels of a raw metric, or None."""
    if name in OWN:
        return OWN[name] | SCRAPED
    table = rules.metrics()
    if name in table and table[name][0] != "histogram":
        return table[name][1] | SCRAPED
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    if base != name and table.get(base, ("",))[0] == "histogram":
        return table[base][1] | SCRAPED | ({"le"} if name.endswith("_bucket") else set())
    return None


RECORDED = {rule["record"] for rule in rules.recorded()}
EVERY = [pytest.param(rule, id=rule.get("record") or rule["alert"]) for rule in rules.all_rules()]


@pytest.mark.parametrize("rule", EVERY)
def test_every_name_and_label_of_a_rule_is_in_the_table(rule):
    selectors, grouped = promql.names(rule["expr"])
    labels = set()
    for name, matched in selectors:
        if name in RECORDED:
            continue
        assert known(name) is not None, f"{name} is neither in metrics.txt nor recorded"
        assert set(matched) <= known(name), f"{name} has no labels {set(matched) - known(name)}"
        labels |= known(name)
    if selectors and all(name not in RECORDED for name, _ in selectors):
        assert grouped <= labels, f"grouped by {grouped - labels}, which nothing there has"


@pytest.mark.parametrize("rule", EVERY)
def test_every_raw_selector_names_the_job(rule):
    # Other programs scraped by the same Prometheus have an http_requests_total too.
    for name, matched in promql.names(rule["expr"])[0]:
        if name not in RECORDED:
            assert matched.get("job") == "sluice", f"{name} without job"


@pytest.mark.parametrize("rule", EVERY)
def test_recorded_names_in_texts_exist(rule):
    for text in rule.get("annotations", {}).values():
        for name in re.findall(r"\b[a-z_]+:[a-z_]+:\w+", text):
            assert name in RECORDED, f"{name} is not recorded"


def test_the_reader_of_expressions_sees_what_is_there():
    selectors, grouped = promql.names(
        'sum by (route, le) (rate(a_bucket{job="x", le=~"1|1[.]0"}[5m] offset 1h)) / on (slo) (b:c:d > 0.5)'
        ' and absent(up == 1) unless e'
    )
    assert selectors == [("a_bucket", {"job": "x", "le": "1|1[.]0"}), ("b:c:d", {}), ("up", {}), ("e", {})]
    assert grouped == {"route", "le", "slo"}


def test_a_name_that_is_not_in_the_table_is_noticed():
    assert known("http_request_total") is None
    assert known("http_request_duration_seconds") is None, "a histogram has no series of its bare name"
    assert "le" in known("http_request_duration_seconds_bucket")
    assert "le" not in known("http_request_duration_seconds_count")
