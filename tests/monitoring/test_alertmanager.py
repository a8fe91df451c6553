"""Alerts reach those who should read them, through a real Prometheus and a real Alertmanager."""

import subprocess
from datetime import datetime, timezone

import pytest

import rules
import settings
from processes import Alertmanager, Prometheus, eventually

ROUTES = {"critical": "pager", "warning": "chat", "info": "log"}
CONFIGURATION = rules.FOLDER / "alertmanager.yml"


def amtool(*arguments):
    ended = subprocess.run(["amtool", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stdout + ended.stderr


def test_the_configuration_is_valid():
    code, output = amtool("check-config", CONFIGURATION)
    assert code == 0, output


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule["alert"]) for rule in rules.alerts()])
def test_every_alert_is_routed_by_its_severity(rule):
    labels = [f"{name}={value}" for name, value in rule["labels"].items()]
    receiver = ROUTES[rule["labels"]["severity"]]
    code, output = amtool(
        "config", "routes", "test", f"--config.file={CONFIGURATION}", f"--verify.receivers={receiver}",
        f"alertname={rule['alert']}", *labels,
    )
    assert code == 0, output


def test_an_unknown_severity_is_read_by_somebody():
    code, output = amtool(
        "config", "routes", "test", f"--config.file={CONFIGURATION}", "--verify.receivers=chat", "severity=odd"
    )
    assert code == 0, output


def test_an_exporter_that_goes_wakes_the_pager_and_its_return_is_told(tmp_path, exporter, receiver):
    with (
        Alertmanager(tmp_path / "alertmanager", settings.alertmanager(receiver.url)) as alertmanager,
        Prometheus(
            tmp_path / "prometheus",
            settings.prometheus("prometheus.yml", tmp_path, exporter.url, alertmanager.address),
        ) as prometheus,
    ):
        eventually("a scrape", lambda: prometheus.value('up{job="sluice"}') == 1)
        eventually("no alert from the time before", lambda: "ExporterGone" not in prometheus.firing())
        receiver.received.clear()
        exporter.answering = False
        message = eventually("a call", lambda: receiver.got("pager", "firing", alertname="ExporterGone"))
        labels, annotations = message[0]
        assert labels["cluster"] == "sluice"
        assert annotations["runbook"] == "docs/runbook.md#exportergone"
        exporter.answering = True
        eventually("an all-clear", lambda: receiver.got("pager", "resolved", alertname="ExporterGone"))


def test_a_gateway_that_goes_is_told_in_the_chat(tmp_path, exporter, receiver):
    with (
        Alertmanager(tmp_path / "alertmanager", settings.alertmanager(receiver.url)) as alertmanager,
        Prometheus(
            tmp_path / "prometheus",
            settings.prometheus("prometheus.yml", tmp_path, exporter.url, alertmanager.address),
        ) as prometheus,
    ):
        eventually("a scrape", lambda: prometheus.value('exporter_instance_up{instance="gw-2"}') == 1)
        exporter.up["gw-2"] = 0
        message = eventually("a message", lambda: receiver.got("chat", "firing", alertname="GatewayGone"))
        assert message[0][0]["instance"] == "gw-2"
        assert not receiver.got("pager", "firing", instance="gw-2")


INHIBITIONS = {
    "an exporter that is gone silences its gateways": (
        {"alertname": "ExporterGone", "severity": "critical", "scope": "exporter"},
        {"alertname": "StoreDegraded", "severity": "warning", "scope": "gateway", "instance": "gw-1"},
        {"alertname": "ErrorBudgetNearlySpent", "severity": "warning", "scope": "slo", "slo": "availability"},
    ),
    "no pushes at all silence that single gateways are gone": (
        {"alertname": "NoGatewayPushes", "severity": "critical", "scope": "gateway"},
        {"alertname": "GatewayGone", "severity": "warning", "scope": "gateway", "instance": "gw-1"},
        {"alertname": "StoreDegraded", "severity": "warning", "scope": "gateway", "instance": "gw-1"},
    ),
    "the fast burn of an objective silences its slow burn and no other objective": (
        {"alertname": "AvailabilityBurn", "severity": "critical", "slo": "availability", "window": "1h"},
        {"alertname": "AvailabilityBurn", "severity": "warning", "slo": "availability", "window": "3d"},
        {"alertname": "TimeToFirstTokenBurn", "severity": "warning", "slo": "time_to_first_token", "window": "3d"},
    ),
    "a crash loop silences the restarts that it is made of": (
        {"alertname": "GatewayCrashLoop", "severity": "critical", "scope": "gateway", "instance": "gw-1"},
        {"alertname": "GatewayRestarted", "severity": "info", "scope": "gateway", "instance": "gw-1"},
        {"alertname": "GatewayRestarted", "severity": "info", "scope": "gateway", "instance": "gw-2"},
    ),
    "what is there need not be foretold": (
        {"alertname": "KvNearlyFull", "severity": "warning", "instance": "gw-1", "model": "m"},
        {"alertname": "KvWillFill", "severity": "warning", "instance": "gw-1", "model": "m"},
        {"alertname": "KvWillFill", "severity": "warning", "instance": "gw-2", "model": "m"},
    ),
}


@pytest.mark.parametrize("name", INHIBITIONS)
def test_inhibition(name, tmp_path, receiver):
    source, silenced, heard = INHIBITIONS[name]

    def came(labels):
        return receiver.got(ROUTES[labels["severity"]], "firing", **labels)

    with Alertmanager(tmp_path, settings.alertmanager(receiver.url)) as alertmanager:
        alertmanager.post(source)
        eventually("the source", lambda: came(source))
        alertmanager.post(silenced)
        alertmanager.post(heard)
        eventually("what has nothing to do with it", lambda: came(heard))
        eventually("inhibition", lambda: alertmanager.inhibited(silenced["alertname"]))
        assert not came(silenced)
        # It was held back, not lost: with the end of the source it comes.
        alertmanager.post(source, ends=datetime.now(timezone.utc).isoformat())
        eventually("what was silenced", lambda: came(silenced))
