"""Made incidents: days of a gateway's gauges and counters, as a database could have recorded them."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

# Any day will do; a fixed one makes every run the same.
MIDNIGHT = 1_750_032_000
STEP = 30
HOUR, DAY = 3600, 86400

MODEL = '{job="sluice",instance="gw-1",model="m"}'
ROUTE = '{job="sluice",instance="gw-1",method="POST",route="create_chat_completion",status="200"}'


@dataclass
class Scenario:
    """What is measured at each second of its days, and what should be foretold."""

    name: str
    days: float
    # Alerts that are right here, each with the gauge and the limit that it foretells, or none.
    expected: dict = field(default_factory=dict)
    waiting: Callable = lambda at: 0
    kv: Callable = None
    traffic: Callable = None
    noise: float = 0.02
    # Spikes of the queue and bursts of traffic an hour.
    bursts: float = 0

    def samples(self):
        """Series as name to [(time, value)]; the same in each run."""
        chance = random.Random(self.name)
        wobble, burst_left, burst, queue_left, queue = 0.0, 0, 1.0, 0, 0
        requests = 0.0
        series = {"waiting": [], "kv": [], "requests": []}
        for at in range(0, int(self.days * DAY), STEP):
            # Noise with a memory of 10 minutes: load does not change from one sample to the next.
            wobble += -wobble * STEP / 600 + self.noise * math.sqrt(2 * STEP / 600) * chance.gauss(0, 1)
            if burst_left <= 0 and chance.random() < self.bursts * STEP / HOUR:
                burst, burst_left = chance.uniform(1.5, 3), chance.uniform(300, 900)
            if queue_left <= 0 and chance.random() < self.bursts * STEP / HOUR:
                queue, queue_left = chance.randint(10, 80), chance.uniform(60, 600)
            burst_left -= STEP
            queue_left -= STEP
            factor = max(0.0, 1 + wobble) * (burst if burst_left > 0 else 1)
            requests += self.traffic(at) * factor * STEP
            extra = queue * chance.random() if queue_left > 0 else 0
            series["waiting"].append((at, round(min(256, self.waiting(at) + extra))))
            series["kv"].append((at, min(1, max(0, self.kv(at) + wobble * 0.5 + (0.1 if burst_left > 0 else 0)))))
            series["requests"].append((at, int(requests)))
        return series

    def openmetrics(self):
        """The samples as text for `promtool tsdb create-blocks-from openmetrics`."""
        series = self.samples()
        lines = []

        def write(name, kind, labels, points, suffix=""):
            lines.append(f"# TYPE {name} {kind}")
            lines.extend(f"{name}{suffix}{labels} {value:g} {MIDNIGHT + at}" for at, value in points)

        write("model_requests_waiting", "gauge", MODEL, series["waiting"])
        write("model_kv_cells_used_ratio", "gauge", MODEL, series["kv"])
        write("http_requests", "counter", ROUTE, [(at, float(value)) for at, value in series["requests"]], "_total")
        write("model_request_duration_seconds_count", "gauge", MODEL, series["requests"])
        return "\n".join(lines) + "\n# EOF\n"


def daily(low, high):
    """A curve with its bottom at 3 in the night and its top at 15."""
    return lambda at: low + (high - low) * (1 - math.cos(2 * math.pi * (at - 3 * HOUR) / DAY)) / 2


def climb(start, duration, low, high):
    """From `low` to `high` in a straight line, and no further."""
    return lambda at: low + (high - low) * min(1, max(0, (at - start) / duration))


def plus(*curves):
    return lambda at: sum(curve(at) for curve in curves)


def times(curve, start, end, factor):
    """The curve with a factor between two moments."""
    return lambda at: curve(at) * (factor if start <= at < end else 1)


TRAFFIC = daily(5, 50)
KV = daily(0.1, 0.6)
NOON = DAY + 12 * HOUR

SCENARIOS = [
    Scenario(
        "queue climbs to its bound in an hour",
        days=2,
        expected={"QueueWillOverflow": ("waiting", 256)},
        waiting=climb(NOON, HOUR, 0, 256),
        kv=KV,
        traffic=TRAFFIC,
    ),
    Scenario(
        "queue climbs to its bound in 4 hours",
        days=2,
        expected={"QueueWillOverflow": ("waiting", 256)},
        waiting=climb(NOON, 4 * HOUR, 0, 256),
        kv=KV,
        traffic=TRAFFIC,
    ),
    Scenario(
        "KV cache climbs from 30 % to full in 3 hours",
        days=2,
        expected={"KvWillFill": ("kv", 0.95), "KvLeaking": ("kv", 0.95)},
        kv=climb(NOON, 3 * HOUR, 0.3, 1.0),
        traffic=TRAFFIC,
    ),
    Scenario(
        "KV cache leaks 15 % a day under a daily curve",
        days=4.5,
        expected={"KvLeaking": ("kv", 0.95), "KvWillFill": ("kv", 0.95)},
        kv=plus(daily(0.1, 0.5), climb(DAY, 4 * DAY, 0, 0.6)),
        traffic=TRAFFIC,
    ),
    Scenario(
        "traffic falls to a fifth for 3 hours",
        days=2.5,
        expected={"TrafficUnlikeHourBefore": None, "TrafficUnlikeYesterday": None},
        kv=KV,
        traffic=times(TRAFFIC, NOON, NOON + 3 * HOUR, 0.2),
    ),
    Scenario("quiet days", days=3, kv=KV, traffic=TRAFFIC),
    Scenario(
        "noisy days: 25 % noise, 2 bursts and 2 queue spikes an hour",
        days=3,
        kv=KV,
        traffic=TRAFFIC,
        noise=0.25,
        bursts=2,
    ),
    Scenario(
        "a Monday after a Sunday of 40 %",
        days=2,
        kv=times(KV, 0, DAY, 0.4),
        traffic=times(TRAFFIC, 0, DAY, 0.4),
        noise=0.05,
    ),
]
