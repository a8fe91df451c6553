"""The first board to look at: what comes in, whether it is answered, how soon, and how full the engines are."""

from . import style
from .parts import (
    ANSWER_COLOURS,
    INSTANCE,
    NOTHING_HAPPENED,
    QUANTILE_COLOURS,
    ROUTE,
    TOKEN_COLOURS,
    coloured,
    dashboard,
    graph,
    number,
    or_none,
    quantile_by,
    quantiles,
    query,
)

ALL = 'instance=~"$instance"'
CHOSEN = 'instance=~"$instance", route=~"$route"'


def board():
    """The whole of it."""
    rows = [
        (None, 4, at_a_glance()),
        ("Traffic", 8, traffic()),
        ("Latency", 8, latency()),
        ("Engines", 8, engines()),
        ("Operations", 8, operations()),
    ]
    what = "Traffic, errors against the objective, latency, tokens and room in the engines."
    return dashboard("overview", "Overview", what, [INSTANCE, ROUTE], rows)


def gateways():
    """Shared with the board of health."""
    return number(
        "Gateways",
        "Gateways that push to the exporter, and those that went silent within the last hour.",
        [
            query(f"sum(exporter_instance_up{{{ALL}}})", "up"),
            query(f"count(exporter_instance_up{{{ALL}}} == 0) or vector(0)", "gone"),
        ],
        style.COUNT,
        text="value_and_name",
        thresholds=style.thresholds((1, style.FAILED), base=style.LEFT),
        overrides=coloured(up=style.SERVED),
    )


def at_a_glance():
    failed = f'sum(increase(http_requests_total{{{ALL}, status=~"5.."}}[$__range])) or vector(0)'
    asked = f"sum(increase(http_requests_total{{{ALL}}}[$__range]))"
    first_token = "model_time_to_first_token_seconds"
    # Newer versions of Prometheus write the bound as 1.0.
    soon = f'sum(increase({first_token}_bucket{{{ALL}, le=~"1|1.0"}}[$__range]))'
    begun = f"sum(increase({first_token}_count{{{ALL}}}[$__range]))"
    return [
        (4, gateways()),
        (
            4,
            number(
                "Requests",
                "Requests answered a second, all routes and statuses.",
                [query(f"sum(rate(http_requests_total{{{ALL}}}[$__rate_interval]))")],
                style.PER_SECOND,
                color={"mode": "fixed", "fixedColor": style.NEUTRAL},
            ),
        ),
        (
            4,
            number(
                "Availability",
                "Share of the requests of the shown time that did not end with a 5xx. The objective is 99.9 %.",
                [query(f"1 - ({failed}) / {asked}", instant=True)],
                style.SHARE,
                decimals=3,
                thresholds=style.AVAILABLE,
            ),
        ),
        (
            4,
            number(
                "First token within 1 s",
                "Share of the answers of the shown time whose first token came within a second. The objective is 95 %.",
                [query(f"{soon} / {begun}", instant=True)],
                style.SHARE,
                decimals=2,
                thresholds=style.SOON,
            ),
        ),
        (
            4,
            number(
                "Generated",
                "Tokens generated a second, by all models.",
                [query(f'sum(rate(model_tokens_total{{{ALL}, kind="generated"}}[$__rate_interval]))')],
                style.TOKENS_PER_SECOND,
                color={"mode": "fixed", "fixedColor": style.GENERATED},
            ),
        ),
        (
            4,
            number(
                "KV used",
                "How full the fullest KV cache is. Kept prefixes count, and make room when it is needed.",
                [query(f"max(model_kv_cells_used_ratio{{{ALL}}})")],
                style.SHARE,
                min=0,
                max=1,
                decimals=0,
                thresholds=style.FULL,
            ),
        ),
    ]


def traffic():
    def answers(status):
        return f"sum(rate(http_requests_total{{{CHOSEN}, {status}}}[$__rate_interval]))"

    errors = f'sum(rate(http_requests_total{{{ALL}, status=~"5.."}}[$__rate_interval])) or vector(0)'
    asked = f"sum(rate(http_requests_total{{{ALL}}}[$__rate_interval]))"
    return [
        (
            8,
            graph(
                "Answers",
                "Served: 2xx and 3xx. Refused: 4xx. Failed: 5xx. Client left: it went away before there was a status (499).",
                [
                    query(answers('status=~"[23].."'), "served"),
                    query(answers('status=~"4..", status!="499"'), "refused"),
                    query(answers('status=~"5.."'), "failed"),
                    query(answers('status="499"'), "client left"),
                ],
                style.PER_SECOND,
                stack=True,
                overrides=ANSWER_COLOURS,
            ),
        ),
        (
            8,
            graph(
                "Error ratio",
                "Share of requests that ended with a 5xx; all routes. The dashed line is what the objective allows: 0.1 %.",
                [query(f"({errors}) / {asked}", "failed")],
                style.SHARE,
                lines=True,
                thresholds=style.ERROR_LINE,
                scale={"type": "symlog", "log": 10, "linearThreshold": 0.001},
                soft_max=0.01,
                overrides=ANSWER_COLOURS,
            ),
        ),
        (
            8,
            graph(
                "Requests by route",
                "Requests answered a second, by operation.",
                [
                    query(
                        f"sum by (route) (rate(http_requests_total{{{CHOSEN}}}[$__rate_interval]))",
                        "{{route}}",
                    )
                ],
                style.PER_SECOND,
                overrides=coloured(**style.ROUTES),
            ),
        ),
    ]


def latency():
    return [
        (
            8,
            graph(
                "Request duration",
                "From a request's head to the last byte of its answer, so a stream counts to its end.",
                quantiles("http_request_duration_seconds", CHOSEN),
                style.SECONDS,
                log=True,
                overrides=QUANTILE_COLOURS,
            ),
        ),
        (
            8,
            graph(
                "Time to first token",
                "From a request to the first token of its answer. The dashed line is the objective: 95 % within 1 s.",
                quantiles("model_time_to_first_token_seconds", ALL),
                style.SECONDS,
                lines=True,
                thresholds=style.FIRST_TOKEN_LINE,
                log=True,
                overrides=QUANTILE_COLOURS,
            ),
        ),
        (
            8,
            graph(
                "Between tokens",
                "Time between two tokens of an answer: how smoothly it streams.",
                quantiles("model_inter_token_seconds", ALL),
                style.SECONDS,
                log=True,
                overrides=QUANTILE_COLOURS,
            ),
        ),
    ]


def tokens(selector):
    """Shared with the board of models: cached tokens are part of the prompts', so they are taken off."""

    def rate(kind):
        return f'sum(rate(model_tokens_total{{{selector}, kind="{kind}"}}[$__rate_interval]))'

    return graph(
        "Tokens by kind",
        "Prompt tokens that were computed, prompt tokens that were found in the cache, and generated tokens.",
        [
            query(rate("generated"), "generated"),
            query(f"{rate('prompt')} - {rate('cached')}", "computed"),
            query(rate("cached"), "cached"),
        ],
        style.TOKENS_PER_SECOND,
        stack=True,
        overrides=TOKEN_COLOURS,
    )


def engines():
    return [
        (8, tokens(ALL)),
        (
            8,
            graph(
                "Running and waiting",
                "Sequences being computed and sequences in the queue. A queue that stays means too little capacity.",
                [
                    query(f"sum(model_requests_running{{{ALL}}})", "running"),
                    query(f"sum(model_requests_waiting{{{ALL}}})", "waiting"),
                ],
                style.COUNT,
                decimals=0,
                overrides=coloured(running=style.RUNNING, waiting=style.WAITING),
            ),
        ),
        (
            8,
            graph(
                "KV used by gateway",
                "How full the fullest KV cache of each gateway is; dashed at 80 % and 95 %.",
                [query(f"max by (instance) (model_kv_cells_used_ratio{{{ALL}}})", "{{instance}}")],
                style.SHARE,
                max=1,
                lines=True,
                thresholds=style.FULL_LINES,
            ),
        ),
    ]


def operations():
    errors = f"sum by (reason) (rate(request_errors_total{{{CHOSEN}}}[$__rate_interval]))"
    return [
        (
            8,
            graph(
                "Request duration p95 by route",
                "95 % of the requests of an operation took at most this long, streams to their end.",
                [query(quantile_by(0.95, "http_request_duration_seconds", CHOSEN, "route"), "{{route}}")],
                style.SECONDS,
                log=True,
                overrides=coloured(**style.ROUTES),
            ),
        ),
        (
            8,
            graph(
                "In flight",
                "Requests that are being answered, by operation.",
                [query(f"sum by (route) (http_requests_in_flight{{{CHOSEN}}})", "{{route}}")],
                style.COUNT,
                stack=True,
                decimals=0,
                overrides=coloured(**style.ROUTES),
            ),
        ),
        (
            8,
            graph(
                "Errors by reason",
                "Refused and failed requests, and streams that failed after their status, by reason.",
                [query(or_none(errors, "reason"), "{{reason}}")],
                style.PER_SECOND,
                stack=True,
                overrides=NOTHING_HAPPENED + coloured(**style.ERRORS),
            ),
        ),
    ]
