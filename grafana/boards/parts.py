"""What boards are made of: queries, panels, rows that place them on the grid, variables."""

from . import style

DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
GRID_WIDTH = 24
# The newest of Grafana's classic schemas; older versions of Grafana read it as well.
SCHEMA_VERSION = 42


def query(expr, legend="__auto", instant=False, form="time_series"):
    """One PromQL expression; `legend` is Grafana's legend format."""
    return {
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": expr,
        "legendFormat": legend,
        "range": not instant,
        "instant": instant,
        "format": form,
    }


def or_none(expr, label):
    """Where there is no such series (nothing was ever refused), one of zeros that is called "none"."""
    return f'{expr} or on() label_replace(vector(0), "{label}", "none", "", "")'


def quantiles(metric, selector):
    """Three queries: the p50, p95 and p99 of a histogram, over all instances."""
    rate = f"sum by (le) (rate({metric}_bucket{{{selector}}}[$__rate_interval]))"
    return [
        query(f"histogram_quantile({share}, {rate})", name)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    ]


def quantile_by(share, metric, selector, *labels):
    """One quantile of a histogram, kept apart by labels."""
    rate = f"rate({metric}_bucket{{{selector}}}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by (le, {', '.join(labels)}) ({rate}))"


def coloured(**colours):
    """Overrides: the series of this name has this colour. `__` in a name stands for a space."""
    return [
        {
            "matcher": {"id": "byName", "options": name.replace("__", " ")},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for name, colour in colours.items()
    ]


QUANTILE_COLOURS = coloured(p50=style.P50, p95=style.P95, p99=style.P99)
TOKEN_COLOURS = coloured(computed=style.PROMPT, cached=style.CACHED, generated=style.GENERATED)
ANSWER_COLOURS = coloured(
    served=style.SERVED, refused=style.REFUSED, failed=style.FAILED, client__left=style.LEFT
)
# In the order of their names, which Prometheus keeps: a gateway or a model has one colour on all panels.
IN_ORDER = {"mode": "palette-classic"}
NOTHING_HAPPENED = coloured(none=style.LEFT)


def panel(kind, title, description, queries, unit, **rest):
    """A panel of any kind, not placed yet."""
    targets = [{**made, "refId": chr(ord("A") + place)} for place, made in enumerate(queries)]
    defaults = {
        "unit": unit,
        "color": rest.get("color", {"mode": "thresholds"}),
        "thresholds": rest.get("thresholds", style.NO_THRESHOLDS),
        "mappings": rest.get("mappings", []),
        "custom": rest.get("custom", {}),
    }
    defaults |= {key: rest[key] for key in ("min", "max", "decimals", "noValue") if key in rest}
    made = {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": rest.get("overrides", [])},
        "options": rest.get("options", {}),
    }
    if "transformations" in rest:
        made["transformations"] = rest["transformations"]
    return made


def graph(title, description, queries, unit, **rest):
    """Lines over time. `stack` fills and adds up, `log` shows 10 ms and 10 s in one picture, `lines` draws thresholds."""
    stacked = rest.pop("stack", False)
    logarithmic = rest.pop("log", False)
    custom = {
        "drawStyle": "line",
        "lineInterpolation": rest.pop("interpolation", "linear"),
        "lineWidth": 1,
        "fillOpacity": 40 if stacked else 0 if logarithmic else 5,
        "gradientMode": "none",
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if rest.pop("lines", False) else "off"},
        "scaleDistribution": rest.pop(
            "scale", {"type": "log", "log": 2} if logarithmic else {"type": "linear"}
        ),
        "axisPlacement": "auto",
        "axisLabel": "",
    }
    if "soft_max" in rest:
        custom["axisSoftMax"] = rest.pop("soft_max")
    options = {
        "legend": {
            "showLegend": True,
            "displayMode": "list",
            "placement": "bottom",
            "calcs": rest.pop("calcs", []),
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    rest.setdefault("color", IN_ORDER)
    if not logarithmic:
        rest.setdefault("min", 0)
    return panel("timeseries", title, description, queries, unit, custom=custom, options=options, **rest)


def number(title, description, queries, unit, **rest):
    """One big value, coloured by its thresholds, over a small line of its past."""
    calc = rest.pop("calc", "lastNotNull")
    options = {
        "reduceOptions": {"values": False, "calcs": [calc], "fields": ""},
        "orientation": "auto",
        "textMode": rest.pop("text", "auto"),
        "colorMode": "value",
        "graphMode": rest.pop("graph", "none"),
        "justifyMode": "auto",
        "wideLayout": True,
    }
    return panel("stat", title, description, queries, unit, options=options, **rest)


def bars(title, description, queries, unit, **rest):
    """Horizontal bars of the newest values."""
    options = {
        "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
        "orientation": "horizontal",
        "displayMode": "basic",
        "valueMode": "color",
        "showUnfilled": True,
        "namePlacement": "auto",
        "sizing": "auto",
        "minVizWidth": 8,
        "minVizHeight": 16,
        "maxVizHeight": 48,
    }
    return panel("bargauge", title, description, queries, unit, options=options, **rest)


def states(title, description, queries, values, **rest):
    """A bar in time for each series. `values` are (value, text, colour)."""
    mappings = {
        str(value): {"text": text, "color": colour, "index": place}
        for place, (value, text, colour) in enumerate(values)
    }
    options = {
        "mergeValues": True,
        "showValue": "never",
        "alignValue": "left",
        "rowHeight": 0.8,
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return panel(
        "state-timeline",
        title,
        description,
        queries,
        style.COUNT,
        custom={"lineWidth": 0, "fillOpacity": 80},
        mappings=[{"type": "value", "options": mappings}],
        options=options,
        **rest,
    )


def heatmap(title, description, expr, unit):
    """How a histogram is spread, over time."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "mode": "scheme",
            "scheme": "Blues",
            "steps": 64,
            "exponent": 0.5,
            "reverse": False,
            "fill": "blue",
        },
        "yAxis": {"unit": unit, "axisPlacement": "left", "reverse": False},
        "rowsFrame": {"layout": "auto"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": True},
        "exemplars": {"color": style.LEFT},
    }
    return panel(
        "heatmap",
        title,
        description,
        [query(expr, "{{le}}", form="heatmap")],
        style.COUNT,
        custom={
            "scaleDistribution": {"type": "linear"},
            "hideFrom": {"legend": False, "tooltip": False, "viz": False},
        },
        options=options,
    )


def table(title, description, expr, columns, unit, **rest):
    """The newest values, a row for each series. `columns` are (label, heading); the value's own is `Value`."""
    hidden = dict.fromkeys(["Time", *rest.pop("hidden", [])], True)
    order = {label: place for place, (label, _) in enumerate(columns)}
    organize = {
        "excludeByName": hidden,
        "indexByName": order,
        "renameByName": dict(columns),
    }
    sort_by = rest.pop("sort_by", None)
    options = {"showHeader": True, "cellHeight": "sm"}
    if sort_by:
        options["sortBy"] = [{"displayName": sort_by, "desc": not hidden.get("Value", False)}]
    return panel(
        "table",
        title,
        description,
        [query(expr, instant=True, form="table")],
        unit,
        custom={"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False},
        options=options,
        transformations=[{"id": "organize", "options": organize}],
        **rest,
    )


def variable(name, label, description, values):
    """A list to choose from, filled by Prometheus; all are chosen at first."""
    return {
        "name": name,
        "label": label,
        "description": description,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"qryType": 1, "query": values, "refId": f"Variable-{name}"},
        "definition": values,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
        "options": [],
        "regex": "",
        "hide": 0,
        "skipUrlSync": False,
    }


INSTANCE = variable(
    "instance",
    "Gateway",
    "Which gateways the board is about.",
    "label_values(exporter_instance_up, instance)",
)
MODEL = variable(
    "model",
    "Model",
    "Which models the board is about.",
    'label_values(model_loaded{instance=~"$instance"}, model)',
)
ROUTE = variable(
    "route",
    "Route",
    "Which operations the panels of requests and their durations are about.",
    'label_values(http_requests_total{instance=~"$instance"}, route)',
)

RESTARTS = {
    "name": "Restarts",
    "datasource": DATASOURCE,
    "enable": True,
    "hide": False,
    "iconColor": style.LEFT,
    # A minute and a step, so that no step misses it; Grafana joins neighbours.
    "expr": 'time() - gateway_start_time_seconds{instance=~"$instance"} < 60 + $__interval_ms / 1000',
    "titleFormat": "{{instance}} restarted",
}


def dashboard(uid, title, description, variables, rows):
    """A dashboard. Rows are (heading, height, [(width, panel), …]); a heading of None continues the row above."""
    panels, y = [], 0
    for heading, height, placed in rows:
        if heading is not None:
            at = {"x": 0, "y": y, "w": GRID_WIDTH, "h": 1}
            panels.append({"type": "row", "title": heading, "collapsed": False, "gridPos": at, "panels": []})
            y += 1
        x = 0
        for width, made in placed:
            panels.append({**made, "gridPos": {"x": x, "y": y, "w": width, "h": height}})
            x += width
        y += height
    return {
        "uid": f"sluice-{uid}",
        "title": f"Sluice / {title}",
        "description": description,
        "tags": ["sluice"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "weekStart": "",
        "fiscalYearStartMonth": 0,
        "preload": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timepicker": {},
        "templating": {"list": variables},
        "annotations": {"list": [RESTARTS]},
        "links": [links()],
        "panels": [{**made, "id": place} for place, made in enumerate(panels, start=1)],
    }


def links():
    """From each board to the others, by their tag."""
    return {
        "type": "dashboards",
        "title": "Sluice",
        "tags": ["sluice"],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }
