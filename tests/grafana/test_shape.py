"""The files themselves: what Grafana would not understand, what a person could not read."""

import json
import re
import subprocess
import sys
from collections import defaultdict
from itertools import combinations

import pytest
from boards import (
    ADDED,
    BOARDS,
    DATASOURCES,
    GRAFANA,
    every_panel,
    grouped_by,
    metrics,
    name_of,
    panels,
    series_of,
    used_in,
)
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

EACH_BOARD = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS.keys())
EACH_PANEL = pytest.mark.parametrize(("name", "panel"), every_panel(), ids=name_of)
# Known, and of no use on a board.
NOT_SHOWN = {
    "exporter_instances",
    "process_start_time_seconds",
    "process_threads",
    "process_virtual_memory_bytes",
}


def lost(before, after, path=""):
    """Where the second does not hold what the first does."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key in after:
                yield from lost(value, after[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (one, other) in enumerate(zip(before, after)):
            yield from lost(one, other, f"{path}[{place}]")
    elif before != after:
        yield path


def round_trip(board):
    """Through Grafana's own types and back."""
    plugins.register_default_plugins()
    return JSONEncoder().encode(dashboard.Dashboard.from_json(board))


@EACH_BOARD
def test_grafana_knows_every_field(board):
    copy = json.loads(json.dumps(board))
    assert list(lost(board, json.loads(round_trip(copy)))) == []


def test_a_misspelt_field_is_found():
    board = json.loads(json.dumps(BOARDS["overview"]))
    graph = next(panel for panel in board["panels"] if panel["type"] == "timeseries")
    graph["fieldConfig"]["defaults"]["custom"]["linewidth"] = 2
    wrong = list(lost(board, json.loads(round_trip(json.loads(json.dumps(board))))))
    assert len(wrong) == 1 and wrong[0].endswith("custom.linewidth")


def test_the_files_are_what_is_generated():
    done = subprocess.run(
        [sys.executable, GRAFANA / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_boards_have_uids_titles_and_descriptions_of_their_own():
    for field in ("uid", "title", "description"):
        assert len({board[field] for board in BOARDS.values()}) == len(BOARDS)


@EACH_BOARD
def test_panels_fill_the_grid_and_do_not_overlap(board):
    places = [panel["gridPos"] for panel in board["panels"]]
    for place in places:
        assert place["x"] >= 0 and place["w"] > 0 and place["h"] > 0 and place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)
    widths = defaultdict(int)
    for place in places:
        widths[place["y"]] += place["w"]
    assert set(widths.values()) == {24}


@EACH_BOARD
def test_ids_and_titles_are_told_apart(board):
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    titles = [(panel["title"], panel["type"]) for panel in panels(board)]
    assert len(set(titles)) == len(titles)


@EACH_PANEL
def test_a_panel_says_what_it_shows(name, panel):
    known = set(re.findall(r"^\s+uid: (\S+)$", DATASOURCES, re.MULTILINE))
    assert panel["title"] and len(panel["title"]) <= 36
    assert panel["description"].endswith(".") and len(panel["description"]) >= 20
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] in known
    assert panel["targets"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for target in panel["targets"]:
        assert target["datasource"]["uid"] in known
        assert target["instant"] is not target["range"]


@EACH_PANEL
def test_a_panel_uses_known_metrics_and_labels(name, panel):
    series = series_of(metrics())
    labels = set().union(*series.values()) | ADDED
    for target in panel["targets"]:
        used = used_in(target["expr"])
        assert used
        for metric, matched in used:
            assert metric in series, target["expr"]
            assert matched <= series[metric] | ADDED, target["expr"]
        assert grouped_by(target["expr"]) <= labels
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels


@EACH_PANEL
def test_rates_follow_the_resolution(name, panel):
    for target in panel["targets"]:
        windows = set(re.findall(r"\[([^\]]*)\]", re.sub(r'"[^"]*"', "", target["expr"])))
        assert windows <= {"$__rate_interval", "$__range"}, target["expr"]


def test_every_metric_is_on_a_board():
    shown = {
        metric
        for _, panel in every_panel()
        for target in panel["targets"]
        for metric, _ in used_in(target["expr"])
    }
    missing = {
        name
        for name, (kind, _) in metrics().items()
        if name not in shown and f"{name}_bucket" not in shown and name not in NOT_SHOWN
    }
    assert missing == set()


def test_a_series_of_one_name_has_one_colour_everywhere():
    colours = defaultdict(set)
    for _, panel in every_panel():
        for override in panel["fieldConfig"]["overrides"]:
            for change in override["properties"]:
                if change["id"] == "color":
                    colours[override["matcher"]["options"]].add(change["value"]["fixedColor"])
    assert {name: found for name, found in colours.items() if len(found) > 1} == {}
