#!/usr/bin/env python3
"""A real Prometheus that already holds the made-up day.

tests/grafana/history.py COMMAND…  runs a command beside it; PROMETHEUS_URL is its address and PROMETHEUS_TIME the
                                   day's end, in Unix seconds
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.dont_write_bytecode = True

import day  # noqa: E402

PATIENCE = float(os.environ.get("SLUICE_TEST_PATIENCE", "180"))
# Nobody's proxy stands between us and loopback.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def backfill(folder):
    """Writes the day as blocks of a time series database."""
    text = folder / "day.om"
    with text.open("w") as file:
        file.writelines(day.lines())
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=54h", "-q"]
    made = subprocess.run([*command, str(text), str(folder / "data")], check=False, capture_output=True, text=True)
    text.unlink()
    if made.returncode:
        # It reserves 512 MiB for a block of 3, so a full disk is what it mostly complains of.
        free = shutil.disk_usage(folder).free >> 20
        raise RuntimeError(f"promtool could not make the day's blocks ({free} MiB free): {made.stderr.strip()}")


def listening(process, log, deadline):
    """The address that Prometheus chose, once it answers there."""
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"Listening on.*?address=\"?(127\.0\.0\.1:\d+)", log.read_text())
        if found:
            url = f"http://{found[1]}"
            with contextlib.suppress(OSError), DIRECT.open(f"{url}/-/ready", timeout=5):
                return url
        time.sleep(0.05)
    raise RuntimeError(f"prometheus did not get ready:\n{log.read_text()}")


@contextlib.contextmanager
def prometheus():
    """Starts it on a free port; ends it and removes everything."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        backfill(folder)
        (folder / "prometheus.yml").write_text("global: {}\n")
        log = folder / "log"
        command = [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--storage.tsdb.retention.time=100y",
            "--web.listen-address=127.0.0.1:0",
        ]
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield listening(process, log, time.monotonic() + PATIENCE)
        finally:
            process.terminate()
            process.wait()


def main(command):
    if not command:
        sys.exit(__doc__)
    with prometheus() as url:
        environment = os.environ | {"PROMETHEUS_URL": url, "PROMETHEUS_TIME": str(day.END)}
        sys.exit(subprocess.run(command, env=environment, check=False).returncode)


if __name__ == "__main__":
    main(sys.argv[1:])
