"""Every expression of every board against a real Prometheus with data."""

import math
import os
import re

import pytest
from boards import BOARDS, every_panel, name_of, used_in

ABSENT = set(os.environ.get("PROMETHEUS_ABSENT", "").split())


def is_real(labels, numbers):
    """A series with a value, and not the zeros that stand for "there is none"."""
    return "none" not in labels.values() and any(not math.isnan(number) for number in numbers)


def may_be_empty(panel):
    names = {
        re.sub(r"_(bucket|count|sum)$", "", name)
        for target in panel["targets"]
        for name, _ in used_in(target["expr"])
    }
    return names <= ABSENT


@pytest.mark.parametrize(("name", "panel"), every_panel(), ids=name_of)
def test_a_panel_has_data(live, name, panel):
    values = live.values(BOARDS[name])
    empty = []
    for target in panel["targets"]:
        found = live.ask(target, values)
        if not any(is_real(labels, numbers) for labels, numbers in found):
            empty.append(target["expr"])
        for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
            assert all(label in labels for labels, _ in found if "none" not in labels.values()), (
                label,
                target["expr"],
            )
    if not may_be_empty(panel):
        assert empty == [] if live.complete else len(empty) < len(panel["targets"]), empty


@pytest.mark.parametrize("name", BOARDS)
def test_annotations_are_taken(live, name):
    for annotation in BOARDS[name]["annotations"]["list"]:
        found = live.ask({**annotation, "instant": False}, live.values(BOARDS[name]))
        assert found or not live.complete


def test_shares_are_between_nothing_and_all(live):
    for name, panel in every_panel():
        if panel["fieldConfig"]["defaults"]["unit"] != "percentunit":
            continue
        for target in panel["targets"]:
            for labels, numbers in live.ask(target, live.values(BOARDS[name])):
                assert all(-1e-9 <= number <= 1 + 1e-9 for number in numbers if not math.isnan(number)), (
                    panel["title"],
                    labels,
                )
