"""What each model does: how much, how soon, out of which cache, and how full its engine is."""

from . import style
from .overview import tokens
from .parts import (
    INSTANCE,
    MODEL,
    NOTHING_HAPPENED,
    QUANTILE_COLOURS,
    coloured,
    dashboard,
    graph,
    heatmap,
    number,
    or_none,
    quantile_by,
    quantiles,
    query,
    states,
)

CHOSEN = 'instance=~"$instance", model=~"$model"'
# From the bottom to the top.
FINISHED = {
    "stop": style.SERVED,
    "length": "dark-green",
    "tool_calls": "light-green",
    "cancelled": style.LEFT,
    "quota": style.REFUSED,
    "error": style.FAILED,
}


def board():
    """The whole of it."""
    rows = [
        (None, 4, at_a_glance()),
        ("Requests", 8, requests()),
        ("Time to first token", 9, first_token()),
        ("How soon, by model", 8, how_soon()),
        ("Tokens", 8, produced()),
        ("Engines", 8, engines()),
        (None, 6, loaded()),
        ("Memory and drafts", 8, memory()),
    ]
    what = "Requests, tokens, latency and engine load by model."
    return dashboard("models", "Models", what, [INSTANCE, MODEL], rows)


def rate(metric, by, extra=""):
    return f"sum by ({by}) (rate({metric}{{{CHOSEN}{extra}}}[$__rate_interval]))"


def ended(reason):
    return f'rate(model_finish_total{{{CHOSEN}, reason="{reason}"}}[$__rate_interval])'


def kind_rate(kind):
    return rate("model_tokens_total", "model", f', kind="{kind}"')


def at_a_glance():
    first = "model_time_to_first_token_seconds"
    soon = f'sum by (model) (increase({first}_bucket{{{CHOSEN}, le=~"1|1.0"}}[$__range]))'
    begun = f"sum by (model) (increase({first}_count{{{CHOSEN}}}[$__range]))"

    def of_range(kind):
        return f'sum by (model) (increase(model_tokens_total{{{CHOSEN}, kind="{kind}"}}[$__range]))'

    return [
        (
            6,
            number(
                "Loaded on",
                "How many gateways have the model loaded.",
                [query(f"sum by (model) (model_loaded{{{CHOSEN}}})", "{{model}}")],
                style.COUNT,
                text="value_and_name",
                thresholds=style.thresholds((1, style.SERVED), base=style.FAILED),
            ),
        ),
        (
            6,
            number(
                "Generated",
                "Tokens generated a second.",
                [query(kind_rate("generated"), "{{model}}")],
                style.TOKENS_PER_SECOND,
                text="value_and_name",
                color={"mode": "fixed", "fixedColor": style.GENERATED},
            ),
        ),
        (
            6,
            number(
                "First token within 1 s",
                "Share of the answers of the shown time whose first token came within a second. The objective is 95 %.",
                [query(f"{soon} / {begun}", "{{model}}", instant=True)],
                style.SHARE,
                text="value_and_name",
                decimals=1,
                thresholds=style.SOON,
            ),
        ),
        (
            6,
            number(
                "Prompt tokens from the cache",
                "Share of the prompt tokens of the shown time that did not have to be computed.",
                [query(f"{of_range('cached')} / {of_range('prompt')}", "{{model}}", instant=True)],
                style.SHARE,
                text="value_and_name",
                decimals=0,
                color={"mode": "fixed", "fixedColor": style.CACHED},
            ),
        ),
    ]


def requests():
    return [
        (
            8,
            graph(
                "Requests by model",
                "Answers that ended, a second; what was refused before an engine began it is not among them.",
                [query(rate("model_finish_total", "model"), "{{model}}")],
                style.PER_SECOND,
            ),
        ),
        (
            8,
            graph(
                "Why answers ended",
                "By finish reason. `quota` is a limit reached on the way, `error` a failure after the start.",
                [query(f"sum({ended(reason)})", reason) for reason in FINISHED],
                style.PER_SECOND,
                stack=True,
                overrides=coloured(**FINISHED),
            ),
        ),
        (
            8,
            graph(
                "Request duration",
                "From a request to the end of its answer, where an engine began it.",
                quantiles("model_request_duration_seconds", CHOSEN),
                style.SECONDS,
                log=True,
                overrides=QUANTILE_COLOURS,
            ),
        ),
    ]


def first_token():
    spread = f"sum by (le) (increase(model_time_to_first_token_seconds_bucket{{{CHOSEN}}}[$__rate_interval]))"
    return [
        (
            12,
            heatmap(
                "Time to first token, spread",
                "How many answers began after so long. Two bands are two kinds of requests, such as cached and long prompts.",
                spread,
                style.SECONDS,
            ),
        ),
        (
            12,
            graph(
                "Time to first token",
                "From a request to the first token of its answer. The dashed line is the objective: 95 % within 1 s.",
                quantiles("model_time_to_first_token_seconds", CHOSEN),
                style.SECONDS,
                log=True,
                lines=True,
                thresholds=style.FIRST_TOKEN_LINE,
                overrides=QUANTILE_COLOURS,
            ),
        ),
    ]


def how_soon():
    def p95(title, description, metric, **rest):
        return graph(
            title,
            description,
            [query(quantile_by(0.95, metric, CHOSEN, "model"), "{{model}}")],
            style.SECONDS,
            log=True,
            **rest,
        )

    return [
        (
            6,
            p95(
                "First token p95",
                "95 % of the first tokens came within this time. The dashed line is the objective.",
                "model_time_to_first_token_seconds",
                lines=True,
                thresholds=style.FIRST_TOKEN_LINE,
            ),
        ),
        (
            6,
            p95(
                "Between tokens p95",
                "95 % of the tokens followed within this time.",
                "model_inter_token_seconds",
            ),
        ),
        (
            6,
            p95(
                "Queue p95",
                "95 % of the requests waited at most this long for the engine.",
                "model_queue_seconds",
            ),
        ),
        (
            6,
            p95(
                "Duration p95",
                "95 % of the answers were complete within this time.",
                "model_request_duration_seconds",
            ),
        ),
    ]


def produced():
    return [
        (8, tokens(CHOSEN)),
        (
            8,
            graph(
                "Generated by model",
                "Tokens generated a second.",
                [query(kind_rate("generated"), "{{model}}")],
                style.TOKENS_PER_SECOND,
                stack=True,
            ),
        ),
        (
            8,
            graph(
                "Prompt tokens from the cache",
                "Share of the prompt tokens that did not have to be computed. It falls when prefixes are no longer kept.",
                [query(f"{kind_rate('cached')} / {kind_rate('prompt')}", "{{model}}")],
                style.SHARE,
                max=1,
            ),
        ),
    ]


def engines():
    return [
        (
            8,
            graph(
                "Running and waiting",
                "Sequences being computed and sequences in the queue.",
                [
                    query(f"sum(model_requests_running{{{CHOSEN}}})", "running"),
                    query(f"sum(model_requests_waiting{{{CHOSEN}}})", "waiting"),
                ],
                style.COUNT,
                decimals=0,
                overrides=coloured(running=style.RUNNING, waiting=style.WAITING),
            ),
        ),
        (
            8,
            graph(
                "Tokens in a step",
                "How many tokens the engine computes at once. Many small steps under load are a sign of waiting elsewhere.",
                quantiles("model_batch_tokens", CHOSEN),
                style.COUNT,
                decimals=0,
                overrides=QUANTILE_COLOURS,
            ),
        ),
        (
            8,
            graph(
                "KV used",
                "Share of the KV cells that hold something, by gateway and model; dashed at 80 % and 95 %.",
                [query(f"model_kv_cells_used_ratio{{{CHOSEN}}}", "{{instance}} {{model}}")],
                style.SHARE,
                max=1,
                lines=True,
                thresholds=style.FULL_LINES,
            ),
        ),
    ]


def loaded():
    return [
        (
            24,
            states(
                "Loaded",
                "Whether each gateway has the model loaded. A gap is a gateway that was gone.",
                [query(f"model_loaded{{{CHOSEN}}}", "{{instance}} {{model}}")],
                [(1, "loaded", style.SERVED), (0, "not loaded", style.FAILED)],
            ),
        ),
    ]


def memory():
    drafts = "model_draft_tokens_total"
    return [
        (
            6,
            graph(
                "Memory of models",
                "What each model takes, by gateway: weights, KV cache and buffers. 0 is a model that is not loaded.",
                [query(f"model_resident_bytes{{{CHOSEN}}}", "{{instance}} {{model}}")],
                style.BYTES,
            ),
        ),
        (
            6,
            graph(
                "Loads",
                "Models that came into memory, or did not, a second; and workers that ended and were started again.",
                [query(or_none(rate("model_loads_total", "outcome"), "outcome"), "{{outcome}}")],
                style.COUNTS_PER_SECOND,
                overrides=NOTHING_HAPPENED,
            ),
        ),
        (
            6,
            graph(
                "Load time p95",
                "95 % of the loads of a model took at most this long.",
                [query(or_none(quantile_by(0.95, "model_load_seconds", CHOSEN, "model"), "model"), "{{model}}")],
                style.SECONDS,
                overrides=NOTHING_HAPPENED,
            ),
        ),
        (
            6,
            graph(
                "Drafted tokens",
                "Tokens computed ahead, and those of them that were right: each of these took no step of its own.",
                [query(or_none(rate(drafts, "outcome"), "outcome"), "{{outcome}}")],
                style.TOKENS_PER_SECOND,
                overrides=NOTHING_HAPPENED,
            ),
        ),
    ]
