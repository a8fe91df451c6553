"""The Prometheus that expressions are tried on, and the variables as Grafana fills them."""

import json
import re
import urllib.error
import urllib.parse
from dataclasses import dataclass, field

from boards import substitute
from history import DIRECT, PATIENCE


class Refused(Exception):
    """Prometheus did not take an expression."""


@dataclass
class Live:
    """`complete` says that it has data for every expression, and not only some for every panel."""

    url: str
    now: float
    seconds: int
    rate_interval: str
    complete: bool
    chosen: dict = field(default_factory=dict)

    def get(self, path, **parameters):
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with DIRECT.open(address, timeout=PATIENCE) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise Refused(f"{parameters.get('query')}: {error.read().decode()}") from error

    def values(self, board):
        """Built-in variables, and those of the board with everything chosen."""
        step = max(15, self.seconds // 300)
        values = {
            "__rate_interval": self.rate_interval,
            "__range": f"{self.seconds}s",
            "__interval_ms": f"{step}000",
        }
        for variable in board["templating"]["list"]:
            values[variable["name"]] = self.all_of(substitute(variable["query"]["query"], values))
        return values

    def all_of(self, definition):
        """What Grafana puts in for `All`: every value, escaped, one or the other."""
        if definition not in self.chosen:
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", definition).groups()
            begin = self.now - self.seconds
            found = self.get(f"label/{label}/values", **{"match[]": selector}, start=begin, end=self.now)
            assert found, f"{definition} finds nothing"
            self.chosen[definition] = (
                "(" + "|".join(re.escape(value).replace("\\", "\\\\") for value in found) + ")"
            )
        return self.chosen[definition]

    def ask(self, target, values):
        """[(labels, values)] of a target over the time, or at its end if it is instant."""
        expr = substitute(target["expr"], values)
        if target["instant"]:
            found = self.get("query", query=expr, time=self.now)["result"]
            return [(one["metric"], [float(one["value"][1])]) for one in found]
        step = max(15, self.seconds // 300)
        found = self.get("query_range", query=expr, start=self.now - self.seconds, end=self.now, step=step)[
            "result"
        ]
        return [(one["metric"], [float(value) for _, value in one["values"]]) for one in found]
