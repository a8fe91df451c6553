"""What only happens in trouble is made to happen, so that every panel of the boards has something to show."""

import re

from stack import compose, fetch, healthy, inside, query, until, url

SECOND = "increase({}[5m]) > 0"


def chat(key, model, text="Say hello."):
    body = {"model": model, "max_tokens": 2, "messages": [{"role": "user", "content": text}]}
    return fetch(url("gateway", "/v1/chat/completions"), body, authorization=f"Bearer {key}")[0]


def rises(metric, cause):
    """Causes it again and again: what was counted before the first scrape is no increase."""
    until(lambda: cause() and query(SECOND.format(metric)), f"{metric} rises")


def test_a_caller_over_its_limits_is_seen(key, model):
    policy = {"permissions": ["chat"], "requests_per_minute": 2, "tokens_per_day": 1_000_000}
    role = {"name": "limited", "policy": policy}
    status, answer = fetch(url("gateway", "/admin/v1/roles"), role, authorization=f"Bearer {key}")
    assert status == 200, answer
    code, text = inside("gateway", "gateway", "key", "create", "--subject", "grace", "--role", "limited")
    assert code == 0, text
    limited = re.search(r"sk-\S+", text).group()
    rises('admission_refused_total{role="limited"}', lambda: chat(limited, model))
    rises("request_errors_total", lambda: chat(limited, model))
    until(lambda: query('admission_budget_used_ratio{role="limited"} > 0'), "what was used of a budget")


def test_what_an_exporter_rejects_is_seen():
    def push():
        return fetch(url("exporter", "/v1/push"), {"not": "a snapshot"})[0] == 401

    rises('exporter_rejected_total{reason="auth"}', push)


def test_a_gateway_without_redis_is_seen_and_recovers(key, model):
    compose("stop", "redis")
    rises("store_errors_total", lambda: chat(key, model))
    until(lambda: query("store_degraded == 1"), "the store is shown as degraded")
    compose("start", "redis")
    until(lambda: healthy("redis") and chat(key, model) == 200, "chats are answered again")
