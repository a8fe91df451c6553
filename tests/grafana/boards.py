"""The dashboards as they are provisioned, and what Grafana makes of their expressions."""

import json
import re
from pathlib import Path

GRAFANA = Path(__file__).resolve().parents[2] / "grafana"
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
DATASOURCES = (GRAFANA / "provisioning/datasources/prometheus.yml").read_text()

# What stands in an expression beside metrics and labels.
WORDS = set(
    """and or unless on ignoring by without group_left group_right bool offset
    sum max min avg count topk rate increase changes histogram_quantile label_replace vector time round""".split()
)
# Labels that Prometheus and the exporter add.
ADDED = {"instance", "job"}


def panels(board):
    """Those that show data, rows left out."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def every_panel():
    """(name of the board, panel), for tests by panel."""
    return [(name, panel) for name, board in BOARDS.items() for panel in panels(board)]


def name_of(value):
    """What pytest calls a panel."""
    return value if isinstance(value, str) else value["title"].replace(" ", "-")


def metrics():
    """Name → (type, labels), of prometheus/metrics.txt."""
    known = {}
    for line in (GRAFANA.parent / "prometheus" / "metrics.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, kind, labels = line.split()
            known[name] = kind, set() if labels == "-" else set(labels.split(","))
    return known


def series_of(known):
    """Name of each series → labels: a histogram is three of them."""
    series = {}
    for name, (kind, labels) in known.items():
        if kind == "histogram":
            series |= {f"{name}_bucket": labels | {"le"}, f"{name}_count": labels, f"{name}_sum": labels}
        else:
            series[name] = labels
    return series


def used_in(expr):
    """[(series name, labels that are matched)] of an expression."""
    bare = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", " ", expr)
    bare = re.sub(r"\[[^\]]*\]", " ", bare)
    found = []
    for name, matchers in re.findall(r"([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?", re.sub(r'"[^"]*"', '""', bare)):
        if name not in WORDS:
            found.append((name, set(re.findall(r"(\w+)\s*[=!]", matchers))))
    # Labels are inside of braces, where the pattern above does not look.
    return found


def grouped_by(expr):
    """Labels that an expression groups or joins by."""
    groups = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expr)
    return {label.strip() for group in groups for label in group.split(",") if label.strip()}


def substitute(expr, values):
    """As Grafana does it: `values` are variables with or without choice, longest names first."""
    for name in sorted(values, key=len, reverse=True):
        expr = expr.replace(f"${{{name}}}", values[name]).replace(f"${name}", values[name])
    left = re.findall(r"\$\w+", expr)
    assert not left, f"{left} is not known in {expr}"
    return expr
