"""Prometheus finds the exporter in each of the three ways and keeps the gateways' own labels."""

import json

import rules
import settings
from processes import Prometheus, eventually


def scraped(prometheus):
    """The instances whose requests Prometheus has."""
    return {labels["instance"] for labels, _ in prometheus.query('http_requests_total{job="sluice"}')}


def test_found_by_http_with_the_instance_that_each_gateway_pushed(tmp_path, exporter):
    with Prometheus(tmp_path, settings.prometheus("prometheus.yml", tmp_path, exporter.url)) as prometheus:
        eventually("both gateways", lambda: scraped(prometheus) == {"gw-1", "gw-2"})
        assert prometheus.query('{exported_instance!=""}') == []
        # The exporter's own series carry the address that was scraped.
        assert prometheus.query("exporter_snapshots_total")[0][0]["instance"] == exporter.address


def test_a_gateway_that_is_dropped_leaves_the_sums_at_once(tmp_path, exporter):
    with Prometheus(tmp_path, settings.prometheus("prometheus.yml", tmp_path, exporter.url)) as prometheus:
        eventually("both gateways", lambda: scraped(prometheus) == {"gw-1", "gw-2"})
        exporter.up["gw-2"] = 0
        # Stale, not five minutes old: its series is gone with the next scrape.
        eventually("one gateway", lambda: scraped(prometheus) == {"gw-1"})
        assert prometheus.value('exporter_instance_up{instance="gw-2"}') == 0


def test_no_rule_records_a_nan(tmp_path, exporter):
    with Prometheus(tmp_path, settings.prometheus("prometheus.yml", tmp_path, exporter.url)) as prometheus:
        eventually("sums", lambda: prometheus.value("sluice:http_requests:rate5m"))
        names = {rule["record"] for rule in rules.recorded()}
        for name in sorted(names):
            assert prometheus.query(f"{name} != {name}") == []


def test_found_in_a_file_that_changes(tmp_path, exporter):
    targets = tmp_path / "targets.json"
    targets.write_text("[]")
    chosen = settings.prometheus("scrape-file.yml", tmp_path)
    chosen["scrape_configs"][0]["file_sd_configs"][0]["files"] = [str(targets)]
    with Prometheus(tmp_path, chosen) as prometheus:
        assert prometheus.targets()["activeTargets"] == []
        # Put in place whole, as the documentation asks for.
        (tmp_path / "new").write_text(json.dumps([{"targets": [exporter.address]}]))
        (tmp_path / "new").rename(targets)
        eventually("both gateways", lambda: scraped(prometheus) == {"gw-1", "gw-2"})


def test_what_consul_tells_becomes_targets(tmp_path, exporter):
    # Debian's Prometheus has no Consul, but the relabelling is any Prometheus': it gets what Consul would tell from a
    # file.
    told = {
        "passing": {"__meta_consul_health": "passing", "__meta_consul_dc": "dc1"},
        "critical": {"__meta_consul_health": "critical"},
        "maintenance": {"__meta_consul_health": "maintenance"},
        "other path": {"__meta_consul_health": "passing", "__meta_consul_service_metadata_metrics_path": "/other"},
        "own address": {
            "__meta_consul_service_address": exporter.address.split(":")[0],
            "__meta_consul_service_port": exporter.address.split(":")[1],
        },
    }
    listed = [
        {"targets": ["127.0.0.1:1" if name == "own address" else exporter.address], "labels": labels | {"case": name}}
        for name, labels in told.items()
    ]
    targets = tmp_path / "targets.json"
    targets.write_text(json.dumps(listed))
    chosen = settings.prometheus("scrape-consul.yml", tmp_path)
    job = chosen["scrape_configs"][0]
    assert job.pop("consul_sd_configs")[0]["services"] == ["sluice-exporter"]
    job["file_sd_configs"] = [{"files": [str(targets)]}]
    with Prometheus(tmp_path, chosen) as prometheus:
        found = eventually("targets", lambda: prometheus.targets()["activeTargets"])
        urls = {target["labels"]["case"]: target["scrapeUrl"] for target in found}
        metrics = f"{exporter.url}/metrics"
        assert urls == {
            "passing": metrics,
            "critical": metrics,
            "own address": metrics,
            "other path": f"{exporter.url}/other",
        }
        assert {target["labels"].get("datacenter") for target in found} == {None, "dc1"}
        eventually("both gateways", lambda: scraped(prometheus) == {"gw-1", "gw-2"})
