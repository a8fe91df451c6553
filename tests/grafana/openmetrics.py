"""Counters, gauges and histograms of made-up processes, written as OpenMetrics text with times."""

import bisect
import math
import statistics

REQUEST = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
FIRST_TOKEN = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)
INTER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2)
QUEUE = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
STORE = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


def below(bound, median, spread):
    """The share of a log-normal distribution that is at most `bound`."""
    return 0.5 * (1 + math.erf(math.log(bound / median) / (spread * math.sqrt(2))))


NORMAL = statistics.NormalDist()
# Below so many observations each is drawn; more of them are shared out to the buckets.
FEW = 200
# Multiples of it fill the unit interval evenly, in an order that looks like chance.
GOLDEN = (math.sqrt(5) - 1) / 2


class Histogram:
    """Cumulative buckets of whole observations; what is less than one waits until there is more."""

    def __init__(self, bounds):
        self.bounds = bounds
        self.buckets = [0] * len(bounds)
        self.count = 0
        self.sum = 0.0
        self.waiting = 0.0

    def observe(self, count, median, spread):
        """So many observations around a median."""
        self.waiting += max(count, 0.0)
        whole = math.floor(self.waiting)
        self.waiting -= whole
        if whole < FEW:
            for at in range(self.count, self.count + whole):
                value = median * math.exp(spread * NORMAL.inv_cdf((at * GOLDEN + 0.5) % 1 or 0.5))
                for place in range(bisect.bisect_left(self.bounds, value), len(self.bounds)):
                    self.buckets[place] += 1
        else:
            for place, bound in enumerate(self.bounds):
                self.buckets[place] += round(whole * below(bound, median, spread))
        self.count += whole
        self.sum += whole * median * math.exp(spread * spread / 2)


class Process:
    """All series of one process. `labels` are those that each of them carries."""

    def __init__(self, labels):
        self.labels = labels
        self.values = {}
        self.histograms = {}

    def _key(self, name, labels):
        return name, ",".join(f'{key}="{value}"' for key, value in (self.labels | labels).items())

    def add(self, name, by, **labels):
        """A counter goes up; by nothing, it begins to exist."""
        key = self._key(name, labels)
        self.values[key] = self.values.get(key, 0.0) + max(by, 0.0)

    def set(self, name, value, **labels):
        """A gauge has a value."""
        self.values[self._key(name, labels)] = value

    def observe(self, name, bounds, count, median, spread=0.5, **labels):
        """A histogram takes so many observations around a median."""
        key = self._key(name, labels)
        if key not in self.histograms:
            self.histograms[key] = Histogram(bounds)
        self.histograms[key].observe(count, median, spread)

    def lines(self, time):
        """Every series at this time. Whole counts, as a real process has them."""
        for (name, labels), value in self.values.items():
            whole = (
                math.floor(value) if name.endswith("_total") and "seconds" not in name else round(value, 6)
            )
            yield f"{name}{{{labels}}} {whole} {time}\n"
        for (name, labels), held in self.histograms.items():
            comma = "," if labels else ""
            for bound, count in zip(held.bounds, held.buckets):
                yield f'{name}_bucket{{{labels}{comma}le="{bound:g}"}} {count} {time}\n'
            yield f'{name}_bucket{{{labels}{comma}le="+Inf"}} {held.count} {time}\n'
            yield f"{name}_count{{{labels}}} {held.count} {time}\n"
            yield f"{name}_sum{{{labels}}} {round(held.sum, 6)} {time}\n"
