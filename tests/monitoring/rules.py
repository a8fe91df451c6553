"""The checked-in rules, as data."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "prometheus"
FILES = sorted((FOLDER / "rules").glob("*.yml"))
TESTS = sorted((FOLDER / "tests").glob("*.yml"))


def load(name):
    """A YAML file of `prometheus/`."""
    return yaml.safe_load((FOLDER / name).read_text())


def groups():
    return [group for file in FILES for group in yaml.safe_load(file.read_text())["groups"]]


def all_rules():
    return [rule for group in groups() for rule in group["rules"]]


def alerts():
    """Every alert; several may have one name."""
    return [rule for rule in all_rules() if "alert" in rule]


def recorded():
    """Every recording rule; several may have one name."""
    return [rule for rule in all_rules() if "record" in rule]


def metrics():
    """`metrics.txt`: name to (type, labels)."""
    table = {}
    for line in (FOLDER / "metrics.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        name, kind, labels = line.split()
        assert name not in table, f"{name} stands twice in metrics.txt"
        table[name] = (kind, set() if labels == "-" else set(labels.split(",")))
    return table


def seconds(duration):
    """Prometheus' durations: `1h30m`."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    parts = re.findall(r"(\d+)(ms|[smhdw])", duration)
    assert "".join(number + unit for number, unit in parts) == duration, duration
    return sum(int(number) * units[unit] for number, unit in parts)
