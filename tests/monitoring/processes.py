"""Real Prometheus and Alertmanager processes on free ports, and waiting for what they do."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

PATIENCE = float(os.environ.get("SLUICE_TEST_PATIENCE", "60"))
# Loopback must not go through a proxy of the caller's.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def eventually(what, condition):
    """Asks again until the condition returns something true, which it gives back; fails after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.05)


def fetch(url, body=None):
    """JSON from a URL; posts the body as JSON where there is one."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with OPENER.open(request, timeout=PATIENCE) as response:
        text = response.read()
    return json.loads(text) if text else None


class Process:
    """A program that logs the address that it listens on."""

    def __init__(self, folder, programs, *arguments):
        program = next(filter(None, map(shutil.which, programs)), None)
        assert program, f"none of {', '.join(programs)} is on the PATH"
        self.log = Path(folder) / "log"
        with self.log.open("w") as log:
            self.child = subprocess.Popen([program, *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            self.address = eventually("a listening address in the log", self._address)
            self.url = f"http://{self.address}"
            eventually("readiness", self._ready)
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}\n{self.log.read_text()[-3000:]}") from error

    def _address(self):
        assert self.child.poll() is None, "it ended"
        # A port of 0 is chosen by the system; this line tells which.
        found = re.search(r'msg="Listening on" address=(\S+)', self.log.read_text())
        return found and found.group(1)

    def _ready(self):
        try:
            with OPENER.open(f"{self.url}/-/ready", timeout=PATIENCE) as response:
                return response.status == 200
        except urllib.error.URLError:
            return False

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Prometheus(Process):
    """Started with a configuration, given as data; its database and log lie in the folder."""

    def __init__(self, folder, configuration, *arguments):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(configuration))
        super().__init__(
            folder,
            ["prometheus"],
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--web.listen-address=127.0.0.1:0",
            *arguments,
        )

    def query(self, expression):
        """Instant values: a list of (labels, value)."""
        answer = fetch(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        return [(series["metric"], float(series["value"][1])) for series in answer["data"]["result"]]

    def value(self, expression):
        """The one value of an expression, or None where there is none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return found[0][1] if found else None

    def range(self, expression, start, end, step):
        """Values over time: a list of (labels, {time: value})."""
        query = {"query": expression, "start": start, "end": end, "step": step}
        answer = fetch(f"{self.url}/api/v1/query_range?{urllib.parse.urlencode(query)}")
        return [
            (series["metric"], {int(time): float(value) for time, value in series["values"]})
            for series in answer["data"]["result"]
        ]

    def targets(self):
        return fetch(f"{self.url}/api/v1/targets")["data"]

    def firing(self):
        """Names of the alerts that fire."""
        alerts = fetch(f"{self.url}/api/v1/alerts")["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def metric(self, name):
        """A sum over one of Prometheus' own metrics, as it is now."""
        with OPENER.open(f"{self.url}/metrics", timeout=PATIENCE) as response:
            text = response.read().decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


class Alertmanager(Process):
    """Started with a configuration, given as data."""

    def __init__(self, folder, configuration):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "alertmanager.yml"
        file.write_text(yaml.safe_dump(configuration))
        super().__init__(
            folder,
            ["prometheus-alertmanager", "alertmanager"],
            f"--config.file={file}",
            f"--storage.path={folder / 'data'}",
            "--web.listen-address=127.0.0.1:0",
            "--cluster.listen-address=",
        )

    def post(self, labels, ends=None):
        """Tells it of an alert, as Prometheus does; with an end, that it is over."""
        alert = {"labels": labels, "annotations": {}}
        if ends:
            alert["endsAt"] = ends
        fetch(f"{self.url}/api/v2/alerts", [alert])

    def inhibited(self, name):
        alerts = fetch(f"{self.url}/api/v2/alerts")
        return [alert for alert in alerts if alert["labels"]["alertname"] == name and alert["status"]["inhibitedBy"]]
