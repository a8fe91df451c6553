"""Whether the processes, the way of the metrics, the stores and the upstreams are well."""

from . import style
from .overview import gateways
from .parts import (
    INSTANCE,
    NOTHING_HAPPENED,
    QUANTILE_COLOURS,
    coloured,
    dashboard,
    graph,
    number,
    or_none,
    quantile_by,
    quantiles,
    query,
    states,
    table,
)

ALL = 'instance=~"$instance"'
SNAPSHOTS = coloured(
    accepted=style.SERVED,
    repeated="light-green",
    stale=style.WARNING,
    refused=style.REFUSED,
    sent=style.SERVED,
    failed=style.FAILED,
)
RECORDS = NOTHING_HAPPENED + coloured(
    sent=style.SERVED,
    delivered=style.SERVED,
    sampled_out=style.LEFT,
    spooled=style.NEUTRAL,
    retried=style.WARNING,
    dropped=style.FAILED,
)
OK_OR_NOT = style.thresholds((1, style.FAILED), base=style.SERVED)


def board():
    """The whole of it."""
    rows = [
        (None, 4, at_a_glance()),
        ("Gateways", 7, pushing_gateways()),
        ("Way of the metrics", 8, snapshots()),
        ("Way of the request records", 8, records()),
        ("Stores", 8, stores()),
        ("Upstreams", 8, upstreams()),
        ("Routes", 8, routes()),
        ("Processes", 8, processes()),
    ]
    what = "Gateways, exporter, stores, upstreams and their processes."
    return dashboard("health", "Health", what, [INSTANCE], rows)


def rate(metric, by, selector=ALL):
    return f"sum by ({by}) (rate({metric}{{{selector}}}[$__rate_interval]))"


def at_a_glance():
    return [
        (4, gateways()),
        (
            4,
            number(
                "Oldest last push",
                "How long ago the gateway that is silent longest pushed. They push each second.",
                [query(f"max(time() - exporter_instance_last_push_seconds{{{ALL}}})")],
                style.SECONDS,
                decimals=0,
                thresholds=style.thresholds((10, style.WARNING), (30, style.FAILED)),
            ),
        ),
        (
            4,
            number(
                "Restarts",
                "How often gateways of the same name began anew in the shown time.",
                [query(f"sum(changes(gateway_start_time_seconds{{{ALL}}}[$__range]))", instant=True)],
                style.COUNT,
                thresholds=style.thresholds((1, style.WARNING)),
            ),
        ),
        (
            4,
            number(
                "Stores degraded",
                "Stores that could not do what a gateway last asked of them.",
                [query(f"sum(store_degraded{{{ALL}}}) or vector(0)")],
                style.COUNT,
                thresholds=OK_OR_NOT,
            ),
        ),
        (
            4,
            number(
                "Breakers open",
                "Upstreams that gateways do not send to for now, since they kept failing.",
                [query(f"sum(upstream_breaker_open{{{ALL}}}) or vector(0)")],
                style.COUNT,
                thresholds=OK_OR_NOT,
            ),
        ),
        (
            4,
            number(
                "Records lost",
                "Request records that gateways or sinks dropped in the shown time.",
                [
                    query(
                        f'round((sum(increase(records_total{{{ALL}, outcome="dropped"}}[$__range])) or vector(0))'
                        ' + (sum(increase(exporter_records_total{outcome="dropped"}[$__range])) or vector(0)))',
                        instant=True,
                    )
                ],
                style.COUNT,
                thresholds=OK_OR_NOT,
            ),
        ),
    ]


def pushing_gateways():
    versions = f"sum by (version, instance) (gateway_build_info{{{ALL}}} or exporter_build_info)"
    return [
        (
            8,
            states(
                "Up",
                "Whether the exporter hears from the gateway. One that is gone stays listed for an hour.",
                [query(f"exporter_instance_up{{{ALL}}}", "{{instance}}")],
                [(1, "up", style.SERVED), (0, "gone", style.FAILED)],
            ),
        ),
        (
            6,
            graph(
                "Age of the last push",
                "Seconds since each gateway's last snapshot; a second is normal.",
                [query(f"time() - exporter_instance_last_push_seconds{{{ALL}}}", "{{instance}}")],
                style.SECONDS,
                soft_max=5,
            ),
        ),
        (
            5,
            graph(
                "Series held by the exporter",
                "Series of all gateways together: its memory follows them.",
                [query("sum(exporter_series)", "held")],
                style.COUNT,
                overrides=coloured(held=style.NEUTRAL),
            ),
        ),
        (
            5,
            table(
                "Versions",
                "What each process says that it is. More than one version is a roll-out, or one that was not finished.",
                versions,
                [("instance", "Process"), ("version", "Version")],
                style.COUNT,
                hidden=["Value"],
                sort_by="Process",
            ),
        ),
    ]


def snapshots():
    return [
        (
            6,
            graph(
                "Pushes, seen by the gateways",
                "Snapshots sent, failed (the exporter was not reached) and refused (it did not take them).",
                [query(rate("push_snapshots_total", "outcome"), "{{outcome}}")],
                style.COUNTS_PER_SECOND,
                overrides=SNAPSHOTS,
            ),
        ),
        (
            6,
            graph(
                "Snapshots, seen by the exporter",
                "Accepted, repeated (harmless) and stale or refused ones, which changed nothing.",
                [query("sum by (outcome) (rate(exporter_snapshots_total[$__rate_interval]))", "{{outcome}}")],
                style.COUNTS_PER_SECOND,
                overrides=SNAPSHOTS,
            ),
        ),
        (
            6,
            graph(
                "Rejected by reason",
                "Pushes that the exporter could not take: too big, unreadable, too many series, a wrong secret.",
                [
                    query(
                        or_none(
                            "sum by (reason) (rate(exporter_rejected_total[$__rate_interval]))", "reason"
                        ),
                        "{{reason}}",
                    )
                ],
                style.COUNTS_PER_SECOND,
                overrides=NOTHING_HAPPENED + coloured(**style.REJECTED),
            ),
        ),
        (
            6,
            graph(
                "Ingest",
                "How long the exporter takes for a push; 10 ms is the most that 99 % should need.",
                quantiles("exporter_ingest_seconds", ""),
                style.SECONDS,
                overrides=QUANTILE_COLOURS,
            ),
        ),
    ]


def records():
    delivered = 'sum by (sink) (rate(exporter_records_total{outcome="delivered"}[$__rate_interval]))'
    by_outcome = "sum by (outcome) (rate(exporter_records_total[$__rate_interval]))"
    return [
        (
            6,
            graph(
                "Records by the gateways",
                "Request records handed to the exporter, left out by sampling, and dropped. Errors are never left out.",
                [query(or_none(rate("records_total", "outcome"), "outcome"), "{{outcome}}")],
                style.COUNTS_PER_SECOND,
                stack=True,
                overrides=RECORDS,
            ),
        ),
        (
            6,
            graph(
                "Records by the exporter",
                "All sinks together. Spooled records are kept on disk until their sink is back; dropped ones are lost.",
                [query(or_none(by_outcome, "outcome"), "{{outcome}}")],
                style.COUNTS_PER_SECOND,
                overrides=RECORDS,
            ),
        ),
        (
            6,
            graph(
                "Delivered by sink",
                "Records that each sink has taken, a second.",
                [query(or_none(delivered, "sink"), "{{sink}}")],
                style.COUNTS_PER_SECOND,
                overrides=NOTHING_HAPPENED,
            ),
        ),
        (
            6,
            graph(
                "Spool",
                "Bytes of records that wait on disk for their sink.",
                [query(or_none("sum by (sink) (exporter_records_spool_bytes)", "sink"), "{{sink}}")],
                style.BYTES,
                overrides=NOTHING_HAPPENED,
            ),
        ),
    ]


def stores():
    rates = f"sum by (le, store, operation) (rate(store_operation_seconds_bucket{{{ALL}}}[$__range]))"
    slowest = f"topk(20, histogram_quantile(0.99, {rates})) >= 0"
    return [
        (
            6,
            graph(
                "Store operations p99",
                "99 % of a store's operations took at most this long.",
                [query(quantile_by(0.99, "store_operation_seconds", ALL, "store"), "{{store}}")],
                style.SECONDS,
                log=True,
                overrides=coloured(**style.STORES),
            ),
        ),
        (
            8,
            table(
                "Slowest operations",
                "The p99 of each operation that was asked for in the shown time, the slowest first.",
                slowest,
                [("store", "Store"), ("operation", "Operation"), ("Value", "p99")],
                style.SECONDS,
                sort_by="p99",
            ),
        ),
        (
            5,
            graph(
                "Store errors",
                "Operations that a store could not do, a second.",
                [query(or_none(rate("store_errors_total", "store"), "store"), "{{store}}")],
                style.OPERATIONS_PER_SECOND,
                overrides=NOTHING_HAPPENED + coloured(**style.STORES),
            ),
        ),
        (
            5,
            states(
                "Degraded",
                "Whether the store could do what any gateway last asked of it.",
                [query(or_none(f"max by (store) (store_degraded{{{ALL}}})", "store"), "{{store}}")],
                [(0, "well", style.SERVED), (1, "degraded", style.FAILED)],
            ),
        ),
    ]


def upstreams():
    slow = quantile_by(0.95, "upstream_request_seconds", ALL, "target")
    return [
        (
            8,
            graph(
                "Requests to upstreams",
                "Requests sent on to other servers, a second.",
                [query(or_none(rate("upstream_request_seconds_count", "target"), "target"), "{{target}}")],
                style.PER_SECOND,
                overrides=NOTHING_HAPPENED,
            ),
        ),
        (
            8,
            graph(
                "Upstream requests p95",
                "95 % of the requests to an upstream took at most this long.",
                [query(or_none(slow, "target"), "{{target}}")],
                style.SECONDS,
                log=True,
                overrides=NOTHING_HAPPENED,
            ),
        ),
        (
            8,
            states(
                "Breakers",
                "Open: a gateway does not send to this upstream for now, since it kept failing.",
                [query(or_none(f"max by (target) (upstream_breaker_open{{{ALL}}})", "target"), "{{target}}")],
                [(0, "closed", style.SERVED), (1, "open", style.FAILED)],
            ),
        ),
    ]


def routes():
    later = quantile_by(0.5, "upstream_shadow_difference_seconds", ALL, "target", "stage")
    return [
        (
            6,
            graph(
                "Retries",
                "Attempts after another that was refused or failed, a second, by who did and why.",
                [query(or_none(rate("upstream_retries_total", "target, reason"), "target"), "{{target}} {{reason}}")],
                style.PER_SECOND,
                overrides=NOTHING_HAPPENED,
            ),
        ),
        (
            6,
            graph(
                "Fallbacks",
                "Requests that a fallback answered, a second.",
                [query(or_none(rate("upstream_fallbacks_total", "target"), "target"), "{{target}}")],
                style.PER_SECOND,
                overrides=NOTHING_HAPPENED,
            ),
        ),
        (
            6,
            graph(
                "Shadows",
                "Copies that shadows got, a second, by what became of them.",
                [query(or_none(rate("upstream_shadow_total", "outcome"), "outcome"), "{{outcome}}")],
                style.PER_SECOND,
                overrides=NOTHING_HAPPENED,
            ),
        ),
        (
            6,
            graph(
                "Shadows are later by",
                "Half of a shadow's answers came at most this much after the one that was given; below 0 is sooner.",
                [query(or_none(later, "target"), "{{target}} {{stage}}")],
                style.SECONDS,
                overrides=NOTHING_HAPPENED,
            ),
        ),
    ]


def processes():
    def of(expr):
        """The gateways' own, and the exporter's, which carries the scrape's instance."""
        exporter = f"{expr.format('')} and on (instance, job) exporter_build_info"
        return [query(expr.format(f"{{{ALL}}}"), "{{instance}}"), query(exporter, "{{instance}}")]

    return [
        (
            6,
            graph(
                "CPU",
                "Cores used by each process.",
                of("rate(process_cpu_seconds_total{0}[$__rate_interval])"),
                "none",
            ),
        ),
        (
            6,
            graph(
                "Memory",
                "Resident memory of each process.",
                of("process_resident_memory_bytes{0}"),
                style.BYTES,
            ),
        ),
        (
            6,
            graph(
                "Open files",
                "Share of the file descriptors that a process may have; connections are among them.",
                of("process_open_fds{0} / process_max_fds{0}"),
                style.SHARE,
                lines=True,
                thresholds=style.FULL_LINES,
            ),
        ),
        (
            6,
            graph(
                "Time since the start",
                "Falls to zero where a gateway began anew.",
                [query(f"time() - gateway_start_time_seconds{{{ALL}}}", "{{instance}}")],
                style.SECONDS,
                decimals=0,
            ),
        ),
    ]
