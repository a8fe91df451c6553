"""A global Prometheus over the one of a cluster: by federation, by remote write, by both at once."""

import re
from contextlib import contextmanager

import pytest

import rules
import settings
from processes import Prometheus, eventually

RECEIVER = "--web.enable-remote-write-receiver"
SUM = 'sluice:http_requests:rate5m{cluster="sluice"}'
RAW = 'http_requests_total{cluster="sluice", instance="gw-1"}'


def over(address):
    """The global configuration, which scrapes the Prometheus at this address."""
    chosen = settings.prometheus("federation.yml", None)
    chosen["scrape_configs"][0]["static_configs"] = [{"targets": [address]}]
    return chosen


def writing_to(url, folder, exporter):
    chosen = settings.prometheus("remote-write.yml", folder, exporter.url)
    chosen["remote_write"][0]["url"] = f"{url}/api/v1/write"
    return chosen


def refused(top, cluster):
    """Samples that came twice or out of order, by either way."""
    by_scrape = [
        top.metric(f"prometheus_target_scrapes_sample_{reason}_total")
        for reason in ("out_of_order", "duplicate_timestamp")
    ]
    return sum(by_scrape) + cluster.metric("prometheus_remote_storage_samples_failed_total")


def test_federation_brings_sums_and_alerts_and_no_raw_series(tmp_path, exporter):
    with (
        Prometheus(tmp_path / "cluster", settings.prometheus("prometheus.yml", tmp_path, exporter.url)) as cluster,
        Prometheus(tmp_path / "global", over(cluster.address)) as top,
    ):
        eventually("sums", lambda: top.value(SUM))
        assert set(top.query(SUM)[0][0]) == {"__name__", "cluster"}, "a sum has no job and no instance"
        exporter.up["gw-2"] = 0
        eventually("an alert", lambda: top.query('ALERTS{cluster="sluice", alertname="GatewayGone"}'))
        labels = top.query('ALERTS{alertname="GatewayGone"}')[0][0]
        assert labels["instance"] == "gw-2", "the labels are the cluster's own"
        names = {labels["__name__"] for labels, _ in top.query('{cluster="sluice"}')}
        assert all(":" in name or name == "ALERTS" for name in names), names


def test_remote_write_brings_raw_series_and_no_sums(tmp_path, exporter):
    with (
        Prometheus(tmp_path / "global", {"global": {}}, RECEIVER) as top,
        Prometheus(tmp_path / "cluster", writing_to(top.url, tmp_path, exporter)) as cluster,
    ):
        eventually("raw series", lambda: top.value(RAW))
        eventually("sums in the cluster", lambda: cluster.value("sluice:http_requests:rate5m"))
        # What was recorded before this request has been written after it.
        seen = top.value(RAW)
        eventually("later samples", lambda: top.value(RAW) > seen)
        assert top.query('{__name__=~".+:.+|ALERTS.*"}') == []


@contextmanager
def both_ways(folder, exporter, match=None):
    """A global Prometheus that scrapes a cluster's, which writes to it; it may be told to scrape something else."""
    targets = folder / "targets.yml"
    targets.write_text("[]")
    top_settings = over(None)
    job = top_settings["scrape_configs"][0]
    del job["static_configs"]
    # Each needs the other's address: the cluster's comes by file, once it is known.
    job["file_sd_configs"] = [{"files": [str(targets)]}]
    if match:
        job["params"]["match[]"] = [match]
    with Prometheus(folder / "global", top_settings, RECEIVER) as top:
        with Prometheus(folder / "cluster", writing_to(top.url, folder, exporter)) as cluster:
            (folder / "new").write_text(f"- targets: ['{cluster.address}']\n")
            (folder / "new").rename(targets)
            yield top, cluster


def test_both_at_once_do_not_collide(tmp_path, exporter):
    with both_ways(tmp_path, exporter) as (top, cluster):
        eventually("sums", lambda: top.value(SUM))
        eventually("raw series", lambda: top.value(RAW))
        # The next test sees its first collision within fewer.
        eventually("forty samples each way", lambda: top.value(f"count_over_time({RAW}[1h])") >= 40)
        assert refused(top, cluster) == 0
        assert cluster.metric("prometheus_remote_storage_samples_dropped_total") > 0, "what is recorded is not sent"


def test_a_series_that_comes_both_ways_collides(tmp_path, exporter):
    with both_ways(tmp_path, exporter, match='{job="sluice"}') as (top, cluster):
        eventually("a collision", lambda: refused(top, cluster) > 0)


SERIES = sorted(
    {rule["record"] for rule in rules.recorded()} | set(rules.metrics()) | {"up", "ALERTS", "ALERTS_FOR_STATE"}
)


@pytest.mark.parametrize("name", SERIES)
def test_every_series_goes_at_most_one_way(name):
    selectors = rules.load("federation.yml")["scrape_configs"][0]["params"]["match[]"]
    patterns = [re.fullmatch(r'(?:(\w+)|\{__name__=~"(.+)"\})(?:\{.*\})?', selector).groups() for selector in selectors]
    federated = any(re.fullmatch(exact or pattern, name) for exact, pattern in patterns)
    dropped = rules.load("remote-write.yml")["remote_write"][0]["write_relabel_configs"][0]
    assert dropped["action"] == "drop" and dropped["source_labels"] == ["__name__"]
    written = not re.fullmatch(dropped["regex"], name)
    # ALERTS_FOR_STATE is of use to the Prometheus that wrote it and to no other.
    assert federated + written == (0 if name == "ALERTS_FOR_STATE" else 1)
