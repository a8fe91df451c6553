"""Anthropic's Messages API through its official SDK: whole, streamed, by the helpers, tools there and back, failures."""

import json
import os
import urllib.request
from typing import Literal

import anthropic
import pytest
from conftest import KEY, PATIENCE, ask, settled
from pydantic import BaseModel

ROOT = os.environ["SLUICE_ROOT"]
# The SDK has no argument for it any more; the protocol has.
GREEDY = {"temperature": 0}
TOOLS = [
    {
        "name": "get_weather",
        "description": "The weather of a city.",
        "strict": True,
        "input_schema": {
            "type": "object",
            "properties": {"city": {"enum": ["Paris", "Oslo", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    }
]


def connect(**options):
    """A client that never retries, so that every failure is seen."""
    return anthropic.Anthropic(**{"base_url": ROOT, "max_retries": 0, "timeout": PATIENCE, **options})


@pytest.fixture(scope="module")
def claude():
    with connect(api_key=KEY) as client:
        yield client


def admin_posts(path, body):
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    request = urllib.request.Request(f"{ROOT}/admin/v1/{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def prompt_tokens(usage):
    return usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens


def test_a_whole_answer(claude, model):
    message = claude.messages.create(
        model=model, max_tokens=16, extra_body=GREEDY, system="You are brief.", messages=ask("What is the capital of France?")
    )
    assert message.type == "message" and message.role == "assistant" and message.model == model
    assert [block.type for block in message.content] == ["text"] and message.content[0].text
    assert message.stop_reason in ("end_turn", "max_tokens") and message.stop_sequence is None
    assert message.usage.output_tokens <= 16 and message._request_id


def test_a_stream_says_the_same(claude, model):
    request = dict(model=model, max_tokens=24, extra_body=GREEDY, messages=ask("Tell me about the sea."))
    whole = settled(claude.messages.create, **request)
    kinds, text = [], ""
    for event in claude.messages.create(**request, stream=True):
        kinds.append(event.type)
        if event.type == "content_block_delta":
            text += event.delta.text
    assert text == whole.content[0].text
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_the_helper_accumulates_text_and_usage(claude, model):
    request = dict(model=model, max_tokens=24, extra_body=GREEDY, messages=ask("Name a colour."))
    whole = settled(claude.messages.create, **request)
    with claude.messages.stream(**request) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
        assert stream.request_id
    assert text == final.content[0].text == stream.get_final_text()
    assert final.usage.output_tokens > 0
    assert whole.content[0].text == text and whole.stop_reason == final.stop_reason
    assert prompt_tokens(final.usage) == prompt_tokens(whole.usage)


def test_the_helper_tells_events(claude, model):
    with claude.messages.stream(model=model, max_tokens=8, messages=ask("Say hello.")) as stream:
        kinds = [event.type for event in stream]
    assert "text" in kinds and "content_block_stop" in kinds and kinds[-1] == "message_stop"


async def test_the_asynchronous_client_streams(model):
    options = dict(base_url=ROOT, api_key=KEY, max_retries=0, timeout=PATIENCE)
    async with anthropic.AsyncAnthropic(**options) as client:
        async with client.messages.stream(model=model, max_tokens=8, messages=ask("Say hello.")) as stream:
            text = "".join([piece async for piece in stream.text_stream])
            assert text == await stream.get_final_text()


def test_what_is_counted_is_what_is_charged(claude, model):
    request = dict(
        model=model,
        system=[{"type": "text", "text": "You are brief.", "cache_control": {"type": "ephemeral"}}],
        tools=TOOLS,
        messages=ask("What is the weather in Oslo?")
        + [{"role": "assistant", "content": "Which day?"}, {"role": "user", "content": [{"type": "text", "text": "Today."}]}],
    )
    counted = claude.messages.count_tokens(**request)
    message = claude.messages.create(**request, max_tokens=4)
    assert counted.input_tokens == prompt_tokens(message.usage)


def test_tools_there_and_back(claude, model):
    messages = ask("What is the weather in Oslo?")
    choice = {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}
    first = claude.messages.create(model=model, max_tokens=200, tools=TOOLS, tool_choice=choice, messages=messages)
    assert first.stop_reason == "tool_use"
    calls = [block for block in first.content if block.type == "tool_use"]
    assert len(calls) == 1 and calls[0].name == "get_weather" and calls[0].input["city"] in ("Paris", "Oslo", "Rome")
    messages += [
        first.to_param(),
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": calls[0].id, "content": [{"type": "text", "text": "snow"}]}],
        },
    ]
    second = claude.messages.create(
        model=model, max_tokens=16, tools=TOOLS, tool_choice={"type": "none"}, messages=messages
    )
    assert second.stop_reason in ("end_turn", "max_tokens")


def test_a_streamed_call_adds_up_to_its_input(claude, model):
    choice = {"type": "any", "disable_parallel_tool_use": True}
    with claude.messages.stream(
        model=model, max_tokens=200, tools=TOOLS, tool_choice=choice, messages=ask("The weather in Rome?")
    ) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        final = stream.get_final_message()
    assert final.stop_reason == "tool_use"
    assert json.loads("".join(pieces)) == final.content[-1].input


def test_a_stop_sequence_is_named(claude, model):
    request = dict(model=model, max_tokens=32, extra_body=GREEDY, messages=ask("Write about rivers."))
    full = settled(claude.messages.create, **request).content[0].text
    stop = full[10:18]
    cut = claude.messages.create(**request, stop_sequences=["\u0001", stop])
    assert cut.stop_reason == "stop_sequence" and cut.stop_sequence == stop
    assert cut.content[0].text == full.split(stop)[0]


class Person(BaseModel):
    # Names without an end may be written until the tokens are spent, and half an answer is no person.
    name: Literal["Ada", "Grace", "Edsger"]
    married: bool


def test_structured_answers_are_parsed(claude, model):
    message = claude.messages.parse(
        model=model, max_tokens=400, messages=ask("Invent a person."), output_format=Person
    )
    assert message.stop_reason == "end_turn" and isinstance(message.parsed_output, Person)


def test_either_header_carries_the_key(model):
    request = dict(model=model, max_tokens=1, messages=ask("Hi"))
    for options in (
        {"api_key": None, "auth_token": KEY},
        {"api_key": "unused", "default_headers": {"Authorization": anthropic.Omit(), "X-Api-Key": KEY}},
    ):
        with connect(**options) as client:
            assert client.messages.create(**request).content is not None
    with connect(api_key=KEY, default_headers={"X-Api-Key": KEY}) as client:
        with pytest.raises(anthropic.BadRequestError, match="more than once"):
            client.messages.create(**request)


def test_a_wrong_key(model):
    for options in ({"api_key": "sk-wrong"}, {"api_key": "x", "default_headers": {"Authorization": anthropic.Omit(), "X-Api-Key": "sk-wrong"}}):
        with connect(**options) as stranger:
            with pytest.raises(anthropic.AuthenticationError) as caught:
                stranger.messages.create(model=model, max_tokens=1, messages=ask("Hi"))
        assert caught.value.type == "authentication_error" and caught.value.request_id


def test_bad_requests_name_their_field(claude, model):
    request = dict(model=model, max_tokens=1, messages=ask("Hi"))
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    for field, wrong in {
        "max_tokens": {"max_tokens": 0},
        "temperature": {"extra_body": {"temperature": 1.5}},
        "thinking": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        "tools[0].type": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        "messages[0].content[0].type": {"messages": [{"role": "user", "content": [image]}]},
    }.items():
        with pytest.raises(anthropic.BadRequestError) as caught:
            claude.messages.create(**{**request, **wrong})
        assert caught.value.type == "invalid_request_error" and field in caught.value.api_message
    with pytest.raises(anthropic.BadRequestError) as caught:
        claude.messages.create(**{**request, "messages": ask("word " * 9000)})
    assert caught.value.error_code == "context_length_exceeded"


def test_other_failures_have_their_types(claude, model):
    with pytest.raises(anthropic.NotFoundError) as caught:
        claude.messages.create(model="claude-opus-4", max_tokens=1, messages=ask("Hi"))
    assert caught.value.type == "not_found_error" and caught.value.error_code == "model_not_found"
    admin_posts("roles", {"name": "nothing", "policy": {}})
    secret = admin_posts("keys", {"subject": "mute", "role": "nothing"})["secret"]
    with connect(api_key=secret) as mute, pytest.raises(anthropic.PermissionDeniedError) as caught:
        mute.messages.create(model=model, max_tokens=1, messages=ask("Hi"))
    assert caught.value.type == "permission_error"


def test_over_the_limit(model):
    admin_posts("roles", {"name": "slow", "policy": {"permissions": ["chat"], "requests_per_minute": 1}})
    secret = admin_posts("keys", {"subject": "slowpoke", "role": "slow"})["secret"]
    request = dict(model=model, max_tokens=1, messages=ask("Hi"))
    with connect(api_key=secret) as client:
        client.messages.create(**request)
        with pytest.raises(anthropic.RateLimitError) as caught:
            client.messages.create(**request)
    assert caught.value.type == "rate_limit_error" and int(caught.value.response.headers["retry-after"]) > 0
