"""A chat goes through the stack, and is seen wherever it must be seen."""

import base64
import urllib.parse

from stack import chats, fetch, inside, until, url


def test_a_chat_over_plain_http(key, model):
    body = {"model": model, "max_tokens": 8, "messages": [{"role": "user", "content": "Say hello."}]}
    status, answer = fetch(url("gateway", "/v1/chat/completions"), body, authorization=f"Bearer {key}")
    assert status == 200, answer
    assert answer["choices"][0]["message"]["content"]
    assert fetch(url("gateway", "/v1/chat/completions"), body, authorization="Bearer sk-wrong")[0] == 401


def test_a_streamed_chat_with_the_sdk_is_counted_by_prometheus(client, model):
    until(lambda: chats() >= 1, "the first chat is counted")
    before = chats()
    messages = [{"role": "user", "content": "Name one thing a river does."}]
    stream = client.chat.completions.create(model=model, messages=messages, max_tokens=16, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    until(lambda: chats() == before + 1, "the streamed chat is counted, once")


def test_prometheus_finds_the_exporter_by_its_discovery():
    status, answer = fetch(url("prometheus", "/api/v1/targets?state=active"))
    assert status == 200
    found = [one for one in answer["data"]["activeTargets"] if one["labels"]["job"] == "sluice"]
    assert [one["scrapeUrl"] for one in found] == ["http://exporter:9464/metrics"]


def test_every_rule_is_evaluated():
    def rules():
        groups = fetch(url("prometheus", "/api/v1/rules"))[1]["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    until(lambda: rules() and all(rule["health"] == "ok" for rule in rules()), "all rules are evaluated")


def test_alerts_have_somebody_to_go_to():
    assert fetch(url("alertmanager", "/-/ready"))[0] == 200
    found = fetch(url("prometheus", "/api/v1/alertmanagers"))[1]["data"]["activeAlertmanagers"]
    assert [one["url"] for one in found] == ["http://alertmanager:9093/api/v2/alerts"]


def test_grafana_has_its_boards_and_asks_prometheus_for_them():
    _, password = inside("grafana", "cat", "/run/secrets/grafana/password")
    login = "Basic " + base64.b64encode(f"admin:{password.strip()}".encode()).decode()
    assert fetch(url("grafana", "/api/health"))[1]["database"] == "ok"
    boards = fetch(url("grafana", "/api/search?type=dash-db"), authorization=login)[1]
    assert {"sluice-overview", "sluice-access", "sluice-models", "sluice-health"} <= {one["uid"] for one in boards}

    overview = fetch(url("grafana", "/api/dashboards/uid/sluice-overview"), authorization=login)[1]["dashboard"]
    (panel,) = [one for one in overview["panels"] if one["title"] == "Requests" and one["type"] == "stat"]
    expression = panel["targets"][0]["expr"].replace("$__rate_interval", "5m").replace("$instance", ".+")
    path = "/api/datasources/proxy/uid/prometheus/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    status, answer = fetch(url("grafana", path), authorization=login)
    assert status == 200, answer
    assert float(answer["data"]["result"][0]["value"][1]) > 0


def test_requests_are_recorded():
    def records():
        code, text = inside("exporter", "sh", "-c", "find /data -name '*.ndjson' -exec cat {} +")
        return code == 0 and text.count("create_chat_completion") >= 2

    until(records, "the exporter keeps records of the chats")
