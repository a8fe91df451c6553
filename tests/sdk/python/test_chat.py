"""Chat through the official SDK: whole, streamed, by the streaming helpers, cancelled."""

import asyncio
import json
import time

import pytest
from conftest import ENDLESS, PATIENCE, ask, settled


def test_a_whole_answer(client, model):
    answer = client.chat.completions.create(
        model=model, messages=ask("What is the capital of France?"), temperature=0, max_tokens=16
    )
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens_details.cached_tokens is not None
    assert answer._request_id


def test_a_stream_says_the_same(client, model):
    request = dict(model=model, messages=ask("Tell me about the sea."), temperature=0, max_tokens=24)
    whole = settled(client.chat.completions.create, **request)
    text, usage, reasons = "", None, []
    for chunk in client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}):
        if not chunk.choices:
            usage = chunk.usage
            continue
        text += chunk.choices[0].delta.content or ""
        reasons.append(chunk.choices[0].finish_reason)
    assert text == whole.choices[0].message.content
    assert usage.completion_tokens == whole.usage.completion_tokens
    assert reasons[-1] == whole.choices[0].finish_reason and not any(reasons[:-1])


def test_the_streaming_helper_accumulates(client, model):
    with client.chat.completions.stream(
        # The helper raises where an answer is cut off, so this one ends by itself.
        model=model, messages=ask("Say hello."), temperature=0, max_tokens=100, stop=[" "]
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "content.delta" in kinds and "content.done" in kinds
    assert final.choices[0].message.content


def test_the_raw_response_tells_its_headers(client, model):
    raw = client.chat.completions.with_raw_response.create(model=model, messages=ask("Hi"), max_tokens=2)
    assert raw.headers["x-request-id"]
    assert raw.parse().choices[0].message.role == "assistant"


def test_several_answers_logprobs_and_penalties(client, model):
    answer = client.chat.completions.create(
        model=model,
        messages=ask("Tell me a joke."),
        n=2,
        seed=5,
        max_tokens=8,
        logprobs=True,
        top_logprobs=3,
        frequency_penalty=0.5,
        presence_penalty=0.5,
        top_p=0.9,
        logit_bias=ENDLESS,
        user="ada",
        metadata={"team": "blue"},
        extra_body={"top_k": 40, "min_p": 0.05, "repeat_penalty": 1.1},
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    for choice in answer.choices:
        assert len(choice.logprobs.content) == 8
        assert all(len(entry.top_logprobs) == 3 for entry in choice.logprobs.content)


def test_leaving_a_stream_frees_the_model(client, model):
    stream = client.chat.completions.create(
        model=model, messages=ask("Count for ever."), stream=True, max_tokens=1500, logit_bias=ENDLESS
    )
    with stream:
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                break
    began = time.monotonic()
    client.chat.completions.create(model=model, messages=ask("Hi"), max_tokens=1)
    assert time.monotonic() - began < PATIENCE


async def test_cancelling_a_task_cancels_the_request(async_client, model):
    async def read():
        stream = await async_client.chat.completions.create(
            model=model, messages=ask("Count for ever."), stream=True, max_tokens=1500, logit_bias=ENDLESS
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                started.set()

    started = asyncio.Event()
    task = asyncio.create_task(read())
    await asyncio.wait_for(started.wait(), PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    answer = await async_client.chat.completions.create(model=model, messages=ask("Hi"), max_tokens=1)
    assert answer.choices


async def test_many_at_once(async_client, model):
    answers = await asyncio.gather(
        *(
            async_client.chat.completions.create(
                model=model, messages=ask(f"What is {number} plus 1?"), max_tokens=8, temperature=0
            )
            for number in range(12)
        )
    )
    assert all(answer.choices[0].message.content for answer in answers)


def test_a_seed_repeats(client, model):
    request = dict(model=model, messages=ask("Tell me a story."), seed=11, max_tokens=16, logit_bias=ENDLESS)
    first = settled(client.chat.completions.create, **request).choices[0].message.content
    second = client.chat.completions.create(**request).choices[0].message.content
    assert first == second


def test_stop_strings_do_not_leak(client, model):
    request = dict(model=model, messages=ask("Write about rivers."), temperature=0, max_tokens=32)
    full = settled(client.chat.completions.create, **request).choices[0].message.content
    stop = full[10:18]
    text = ""
    for chunk in client.chat.completions.create(**request, stop=[stop], stream=True):
        text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    assert text == full.split(stop)[0]


def test_json_mode(client, model):
    answer = client.chat.completions.create(
        model=model,
        messages=ask("Answer in JSON with the key a."),
        response_format={"type": "json_object"},
        temperature=0,
        max_tokens=300,
    )
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content), dict)
