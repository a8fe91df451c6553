"""What is killed comes back, and what is kept stays."""

import pytest
from stack import CHATS, chats, compose, container, healthy, inside, kill, own_chats, query, sdk, until

NAME = "Ada Lovelace"


@pytest.fixture(scope="module")
def conversation(key):
    """Kept in Redis."""
    item = {"type": "message", "role": "user", "content": f"My name is {NAME}."}
    return sdk(key).conversations.create(items=[item]).id


def is_kept(client, conversation):
    return NAME in str(client.conversations.items.list(conversation).data)


def restarts(service):
    return container(service)["RestartCount"]


def test_a_killed_gateway_comes_back_with_key_and_conversations(client, conversation):
    before = restarts("gateway")
    kill("gateway")
    until(lambda: restarts("gateway") == before + 1 and healthy("gateway"), "the gateway is back")
    assert client.models.list().data
    assert is_kept(client, conversation)


def test_a_killed_exporter_comes_back_and_no_count_is_lost(client, model, key):
    # Not by Prometheus, which may yet show what the gateway counted before it was killed.
    counted, before = own_chats(key), restarts("exporter")
    kill("exporter")
    message = [{"role": "user", "content": "Say hello."}]
    client.chat.completions.create(model=model, messages=message, max_tokens=4)
    until(lambda: restarts("exporter") == before + 1 and healthy("exporter"), "the exporter is back")
    until(lambda: chats() == counted + 1, "the chat while it was away is counted")
    assert all(labels["instance"] for labels, _ in query(CHATS))


def test_conversations_outlive_redis(client, conversation):
    compose("restart", "redis")
    until(lambda: healthy("redis"), "Redis is back")
    until(lambda: is_kept(client, conversation), "the conversation is found")


def test_a_second_gateway_knows_the_same_keys_and_conversations(key, conversation):
    compose("up", "--detach", "--no-recreate", "--scale", "gateway=2")
    until(lambda: healthy("gateway", 2), "the second gateway is healthy")
    assert is_kept(sdk(key, 2), conversation)
    until(lambda: len(query("count by (instance) (gateway_build_info)")) == 2, "both push")
    compose("up", "--detach", "--no-recreate", "--scale", "gateway=1")


def test_down_and_up_keep_everything(key, conversation):
    def fetched():
        return inside("gateway", "sh", "-c", "stat -c '%i %Y' /data/models/*.gguf")[1]

    before = fetched()
    compose("down")
    compose("up", "--detach")
    until(lambda: healthy("gateway"), "the gateway is back")
    assert fetched() == before
    assert is_kept(sdk(key), conversation)
    until(lambda: chats() >= 1, "Prometheus still knows the chats")
