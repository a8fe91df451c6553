"""The Prometheus of the tests: one with a made-up day, or the one that the environment names.

PROMETHEUS_URL             a real one, which scraped a real run; then also
PROMETHEUS_TIME            the end of the shown time, Unix seconds (now)
PROMETHEUS_RANGE           how many seconds before it (900)
PROMETHEUS_RATE_INTERVAL   what `$__rate_interval` becomes (1m; at least four scrapes)
PROMETHEUS_ABSENT          metrics that the run could not have, apart by spaces: panels of these alone may be empty
"""

import os
import time

import pytest
from history import prometheus
from live import Live


@pytest.fixture(scope="session")
def live():
    url = os.environ.get("PROMETHEUS_URL")
    if url:
        now = float(os.environ.get("PROMETHEUS_TIME") or time.time())
        seconds = int(os.environ.get("PROMETHEUS_RANGE", "900"))
        interval = os.environ.get("PROMETHEUS_RATE_INTERVAL", "1m")
        yield Live(url.rstrip("/"), now, seconds, interval, complete=False)
        return
    import day

    with prometheus() as url:
        yield Live(url, day.END, day.END - day.BEGIN, "4m", complete=True)
