"""A made-up day of two gateways, two models and an exporter, the same each time.

Load follows the clock. At 14:00 long prompts come, queues and
KV fill; at 14:10 the shared store is slow and fails, a sink is away until 14:40, an upstream's breaker opens at 14:15;
at 14:20 the second gateway is killed, and is back at 14:32. At 15:00 all is well again.
At 12:40 somebody tries wrong secrets at the exporter; at 16:20 a client comes with an expired key for twenty minutes.
"""

import math
import random

from openmetrics import BATCH, FIRST_TOKEN, INTER_TOKEN, QUEUE, REQUEST, STORE, Process

BEGIN = 1781049600  # 2026-06-10, 0:00 UTC
END = BEGIN + 24 * 3600
STEP = 60

GATEWAYS = ("gateway-1", "gateway-2")
SMALL, LARGE = MODELS = ("smollm2-135m", "qwen2.5-1.5b")
ROLES = ("user", "batch", "operator")


def at(hour, minute=0):
    return BEGIN + hour * 3600 + minute * 60


def during(time, begin, end):
    return at(*begin) <= time < at(*end)


def load(time):
    """Between 0.15 at night and 1 at the two tops of the working day."""
    hour = (time - BEGIN) / 3600
    top = sum(
        math.exp(-(((hour - middle) / width) ** 2))
        for middle, width in ((10.5, 2.2), (15.5, 2.8), (20.5, 2.0))
    )
    return 0.15 + 0.8 * min(top, 1.1)


def pressure(time):
    """How far into the incident: 0 before 14:00, 1 from 14:12 to 14:32, 0 from 15:00."""
    rise = (time - at(14)) / (12 * 60)
    fall = (at(15) - time) / (28 * 60)
    return max(0.0, min(rise, fall, 1.0))


def alive(gateway, time):
    return gateway == GATEWAYS[0] or not during(time, (14, 20), (14, 32))


class Gateway:
    """One gateway's life; `begin` anew after a kill, with all counters at zero."""

    def __init__(self, name, time):
        self.name = name
        self.start = time
        self.random = random.Random(f"{name} {time}")
        self.process = Process({"instance": name, "job": "sluice"})
        self.budgets = dict.fromkeys(ROLES, 0.0)

    def noise(self, spread=0.1):
        return max(0.2, self.random.gauss(1, spread))

    def step(self, time):
        """What happened since the minute before."""
        share = 0.5 if alive(GATEWAYS[1], time) else 0.85
        rate = 3.4 * load(time) * share * self.noise() * (1 + 0.5 * pressure(time))
        count = rate * STEP
        self.requests(time, count, rate)
        self.access(time, count)
        self.models(time, count)
        self.stores(time, count)
        self.upstreams(time, count)
        self.itself(time, count, rate)

    def requests(self, time, count, rate):
        process, bad = self.process, pressure(time)
        broken = bad if during(time, (14, 10), (14, 40)) else 0.0
        kinds = (
            ("create_chat_completion", "POST", 0.62, 1.6),
            ("create_response", "POST", 0.12, 2.2),
            ("create_embeddings", "POST", 0.14, 0.03),
            ("create_completion", "POST", 0.04, 0.9),
            ("list_models", "GET", 0.05, 0.004),
            ("readyz", "GET", 0.03, 0.003),
        )
        for route, method, share, median in kinds:
            asked = count * share
            model_route = method == "POST"
            outcomes = {"200": 1.0}
            if model_route:
                outcomes |= {
                    "400": 0.006,
                    "401": 0.004 + (0.09 if during(time, (16, 20), (16, 40)) else 0.0),
                    "403": 0.002,
                    "429": 0.012 * load(time) + 0.14 * bad,
                    "499": 0.008 + 0.05 * bad,
                    "500": 0.00004,
                    "503": 0.00015 + 0.07 * broken,
                }
            outcomes["200"] -= sum(outcomes.values()) - 1
            for status, part in outcomes.items():
                process.add("http_requests_total", asked * part, method=method, route=route, status=status)
            slow = median * (1 + 3.5 * bad) if model_route else median
            process.observe(
                "http_request_duration_seconds", REQUEST, asked, slow, 0.8, method=method, route=route
            )
            running = rate * share * slow * self.noise(0.3)
            process.set("http_requests_in_flight", round(running), route=route)
            if model_route:
                reasons = {
                    "400": "invalid_request",
                    "401": "authentication",
                    "403": "permission",
                    "503": "overloaded",
                }
                reasons |= {"429": "rate_limit", "500": "server"}
                for status, reason in reasons.items():
                    process.add("request_errors_total", asked * outcomes[status], route=route, reason=reason)

    def access(self, time, count):
        process, bad = self.process, pressure(time)
        expired = 0.09 if during(time, (16, 20), (16, 40)) else 0.0004
        failures = {
            "missing": 0.0012,
            "malformed": 0.0004,
            "unknown": 0.0014,
            "expired": expired,
            "revoked": 0.0003,
        }
        for reason, part in failures.items():
            process.add("auth_failures_total", count * part, reason=reason)
        refusals = (
            ("user", "requests", 0.004),
            ("user", "tokens", 0.003),
            ("batch", "concurrency", 0.004),
            ("batch", "tokens", 0.002),
            ("batch", "budget", 0.012 if time > at(20, 40) else 0.0),
            ("operator", "requests", 0.0003),
        )
        for role, reason, part in refusals:
            surge = 0.06 * bad if reason in ("tokens", "concurrency") else 0.0
            process.add(
                "admission_refused_total", count * (part * load(time) + surge), role=role, reason=reason
            )
        for role, size in zip(ROLES, (0.00055, 0.00092, 0.00018)):
            self.budgets[role] = min(1.0, self.budgets[role] + size * 2 * load(time) * self.noise(0.2))
            process.set("admission_budget_used_ratio", self.budgets[role], role=role)

    def models(self, time, count):
        for model, share, weight in ((SMALL, 0.6, 1.0), (LARGE, 0.35, 2.2)):
            self.model(time, model, count * share, weight)

    def model(self, time, model, count, weight):
        process, bad, busy = self.process, pressure(time), load(time)
        hard = 1 + 6 * bad * (1 if model == LARGE else 0.4)
        prompt, generated = count * 420 * (1 + 1.5 * bad), count * 110
        cached = prompt * (0.62 if model == SMALL else 0.48) * (1 - 0.6 * bad) * self.noise(0.04)
        for kind, tokens in (("prompt", prompt), ("cached", cached), ("generated", generated)):
            process.add("model_tokens_total", tokens, model=model, kind=kind)
        first = 0.07 * weight * (1 + 0.8 * busy) * hard
        name = "model_time_to_first_token_seconds"
        process.observe(name, FIRST_TOKEN, count * 0.6, first, 0.45, model=model)
        process.observe(name, FIRST_TOKEN, count * 0.4, 2.6 * first, 0.4, model=model)
        gap = 0.007 * weight * (1 + 1.2 * busy) * (1 + 1.5 * bad)
        process.observe("model_inter_token_seconds", INTER_TOKEN, generated, gap, 0.4, model=model)
        length = first + 110 * gap
        process.observe("model_request_duration_seconds", REQUEST, count, length, 0.7, model=model)
        wait = 0.004 * weight * (1 + 8 * busy * busy) * (1 + 60 * bad * (1 if model == LARGE else 0.2))
        process.observe("model_queue_seconds", QUEUE, count, wait, 0.9, model=model)
        steps = generated / (2 + 5 * busy)
        process.observe("model_batch_tokens", BATCH, steps * 0.9, 1.5 + 5 * busy + 4 * bad, 0.5, model=model)
        process.observe("model_batch_tokens", BATCH, steps * 0.1, 120, 0.6, model=model)
        queue = (14 * bad if model == LARGE else 3 * bad) + max(0, busy - 0.75) * 4 * self.noise(0.6)
        process.set(
            "model_requests_running", min(16, round(count / STEP * length * self.noise(0.2))), model=model
        )
        process.set("model_requests_waiting", round(queue * self.noise(0.15)), model=model)
        # Kept prefixes fill it in the first hour after a start, and stay.
        filled = 1 - math.exp(-(time - self.start) / 2700)
        used = (
            filled * (0.42 + 0.22 * busy) * (1.08 if model == LARGE else 1) * self.noise(0.02)
            + 0.33 * bad * filled
        )
        process.set("model_kv_cells_used_ratio", min(0.985, used), model=model)
        process.set("model_loaded", 1 if time >= self.start + 60 else 0, model=model)
        process.set("model_resident_bytes", (4.1e8 if model == SMALL else 1.9e9) if time >= self.start + 60 else 0, model=model)
        loads = 1 if time == self.start + STEP else 0
        process.add("model_loads_total", loads, model=model, outcome="loaded")
        process.observe("model_load_seconds", STORE, loads, 0.4 * weight, 0.2, model=model)
        process.add("model_draft_tokens_total", generated * 0.3, model=model, outcome="drafted")
        process.add("model_draft_tokens_total", generated * 0.2, model=model, outcome="accepted")
        ends = {
            "stop": 0.71,
            "length": 0.2,
            "tool_calls": 0.06,
            "cancelled": 0.02,
            "quota": 0.004,
            "error": 0.0005,
        }
        ends["cancelled"] += 0.09 * bad
        ends["error"] += 0.02 * bad
        for reason, part in ends.items():
            process.add("model_finish_total", count * part, model=model, reason=reason)

    def stores(self, time, count):
        broken = during(time, (14, 10), (14, 30))
        uses = (
            ("limits", "take", 0.9, 0.0006),
            ("limits", "peek", 0.05, 0.0004),
            ("auth", "key_by_hash", 0.06, 0.0009),
            ("auth", "touch", 0.02, 0.0012),
            ("conversations", "load", 0.1, 0.002),
            ("conversations", "keep", 0.12, 0.0035),
            ("events", "append", 0.1, 0.0012),
            ("events", "read", 0.01, 0.0009),
        )
        for store, operation, part, median in uses:
            labels = {"store": store, "operation": operation}
            slow = broken and store in ("limits", "auth")
            seconds = median * (60 if slow else self.noise(0.15))
            self.process.observe("store_operation_seconds", STORE, count * part, seconds, 0.6, **labels)
            self.process.add("store_errors_total", count * part * (0.12 if slow else 0.00002), **labels)
            self.process.set("store_degraded", int(slow), store=store)

    def upstreams(self, time, count):
        for target, part, median in (("spare", 0.03, 0.8), ("cluster-b", 0.05, 1.3)):
            is_open = target == "spare" and during(time, (14, 15), (14, 35))
            sent = 0.5 if is_open else count * part
            self.process.observe(
                "upstream_request_seconds", REQUEST, sent, 9.0 if is_open else median, 0.6, target=target
            )
            self.process.set("upstream_breaker_open", int(is_open), target=target)
            failed = 0.4 if is_open else sent * 0.01
            self.process.add("upstream_retries_total", failed, target=target, reason="failed")
            self.process.add("upstream_fallbacks_total", failed if target == "spare" else 0, target="cluster-b")
        self.process.add("upstream_shadow_total", count * 0.02, target="next", outcome="answered")
        for stage in ("first", "last"):
            labels = {"target": "next", "stage": stage}
            self.process.observe("upstream_shadow_difference_seconds", STORE, count * 0.02, 0.2, 0.4, **labels)

    def itself(self, time, count, rate):
        process, bad = self.process, pressure(time)
        kept = 1.0 if load(time) < 0.5 else 0.5
        process.add("records_total", count * kept, outcome="sent")
        process.add("records_total", count * (1 - kept), outcome="sampled_out")
        process.add("records_total", count * 0.01 * bad, outcome="dropped")
        process.add("push_snapshots_total", STEP - 0.02, outcome="sent")
        process.add("push_snapshots_total", 0.015, outcome="failed")
        process.add("push_snapshots_total", 0.0, outcome="refused")
        process.set("gateway_build_info", 1, version="0.1.0")
        process.set("gateway_start_time_seconds", self.start)
        cores = min(2.0, 0.05 + 1.6 * load(time) * self.noise(0.05) + 0.4 * bad)
        memory = (610 + 140 * (1 - math.exp(-(time - self.start) / 5000)) + 160 * bad) * 2**20
        proc(process, time, self.start, cores, memory, 40 + 18 * rate + 90 * bad)


class Exporter:
    """The one that holds what the gateways pushed."""

    def __init__(self):
        self.process = Process({"instance": "exporter:9464", "job": "sluice"})
        # Names a gateway in `instance`, as the exporter itself does.
        self.named = {name: Process({"instance": name, "job": "sluice"}) for name in GATEWAYS}
        self.last = dict.fromkeys(GATEWAYS, BEGIN)
        self.spool = 0.0
        self.random = random.Random("exporter")

    def step(self, time, series):
        process, up = self.process, 0
        for name, held in self.named.items():
            if alive(name, time):
                self.last[name] = time - self.random.uniform(0.1, 1.1)
            lives = alive(name, time)
            up += lives
            held.set("exporter_instance_up", int(lives))
            held.set("exporter_instance_last_push_seconds", self.last[name])
        pushes = STEP * up
        process.add("exporter_snapshots_total", pushes, outcome="accepted")
        process.add("exporter_snapshots_total", 0.03 * up, outcome="repeated")
        process.add(
            "exporter_snapshots_total", 0.9 if during(time, (14, 32), (14, 36)) else 0.0, outcome="stale"
        )
        process.add(
            "exporter_snapshots_total", 0.4 if during(time, (12, 40), (13, 10)) else 0.0, outcome="refused"
        )
        for reason in ("body", "decode", "protocol", "series", "labels", "instances", "auth"):
            probed = reason == "auth" and during(time, (12, 40), (13, 10))
            process.add("exporter_rejected_total", 0.4 if probed else 0.0, reason=reason)
        process.set("exporter_instances", len(self.named))
        process.set("exporter_series", series)
        process.observe("exporter_ingest_seconds", STORE, pushes, 0.0011 * self.random.uniform(0.9, 1.1), 0.4)
        process.set("exporter_build_info", 1, version="0.1.0")
        self.records(time, 200 * load(time))
        proc(process, time, BEGIN - 86400, 0.015 + 0.01 * self.random.random(), 38 * 2**20, 21)

    def records(self, time, count):
        away = during(time, (14, 10), (14, 40))
        self.spool = self.spool + count * 260 if away else max(0.0, self.spool - 900_000)
        for sink in ("file", "otlp"):
            gone = away and sink == "otlp"
            outcomes = {"delivered": 0 if gone else count, "retried": 4 if gone else 0.01}
            outcomes |= {"spooled": count if gone else 0, "dropped": 0}
            for outcome, by in outcomes.items():
                self.process.add("exporter_records_total", by, sink=sink, outcome=outcome)
            self.process.set(
                "exporter_records_spool_bytes", round(self.spool if sink == "otlp" else 0), sink=sink
            )


def proc(process, time, start, cores, memory, files):
    """What the crate `prometheus` tells of a process."""
    process.add("process_cpu_seconds_total", cores * STEP)
    process.set("process_resident_memory_bytes", round(memory))
    process.set("process_virtual_memory_bytes", round(memory * 2.4))
    process.set("process_open_fds", round(files))
    process.set("process_max_fds", 1024)
    process.set("process_threads", 9)
    process.set("process_start_time_seconds", start)


def lines():
    """The whole day, in order of time."""
    exporter = Exporter()
    gateways = {name: Gateway(name, BEGIN - 7200) for name in GATEWAYS}
    for time in range(BEGIN, END + 1, STEP):
        for name in GATEWAYS:
            if not alive(name, time):
                gateways.pop(name, None)
                continue
            if name not in gateways:
                gateways[name] = Gateway(name, time)
            gateways[name].step(time)
            yield from gateways[name].process.lines(time)
        held = sum(sum(1 for _ in gateway.process.lines(time)) for gateway in gateways.values())
        exporter.step(time, held)
        for process in (exporter.process, *exporter.named.values()):
            yield from process.lines(time)
    yield "# EOF\n"
