"""Responses and conversations through the official SDK: whole, streamed, tools, parsed, remembered, in the background."""

import json
import time
from typing import Literal

import openai
import pytest
from conftest import ENDLESS, PATIENCE, ask, settled
from pydantic import BaseModel, Field

# What must have come before an event of a kind: the published order of a stream.
OPENS = {
    "response.content_part.added": "response.output_item.added",
    "response.output_text.delta": "response.content_part.added",
    "response.output_text.done": "response.content_part.added",
    "response.content_part.done": "response.output_text.done",
    "response.function_call_arguments.delta": "response.output_item.added",
    "response.function_call_arguments.done": "response.output_item.added",
    "response.output_item.done": "response.output_item.added",
}

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 40}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


def follow(events):
    """The text and the response of a stream, its order checked event by event."""
    text, seen, last = "", [], None
    for place, event in enumerate(events):
        assert event.sequence_number == place, (event.sequence_number, place)
        if event.type in OPENS:
            assert OPENS[event.type] in seen, (event.type, seen)
        if event.type == "response.output_text.delta":
            text += event.delta
        if event.type == "response.output_text.done":
            assert event.text == text
        seen.append(event.type)
        last = event
    assert seen[:2] == ["response.created", "response.in_progress"]
    return text, last


def test_a_whole_response(client, model):
    response = client.responses.create(
        model=model, input="What is the capital of France?", instructions="Be brief.", temperature=0, max_output_tokens=32
    )
    assert response.id.startswith("resp_") and response.status in ("completed", "incomplete")
    assert response.output_text and response.usage.total_tokens > 0
    assert response.usage.input_tokens_details.cached_tokens is not None
    assert client.responses.retrieve(response.id) == response
    items = client.responses.input_items.list(response.id).data
    assert [item.role for item in items] == ["user"]
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_a_stream_says_the_same_in_the_published_order(client, model):
    request = dict(model=model, input="Tell me about the sea.", temperature=0, max_output_tokens=24)
    whole = settled(client.responses.create, **request)
    text, last = follow(client.responses.create(**request, stream=True))
    assert text == whole.output_text
    assert last.type in ("response.completed", "response.incomplete")
    assert last.response.output_text == text
    assert client.responses.retrieve(last.response.id).output_text == text


def test_the_streaming_helper_accumulates(client, model):
    with client.responses.stream(model=model, input="Say hello.", temperature=0, max_output_tokens=200) as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text


def test_parse_gives_an_object_that_validates(client, model):
    class City(BaseModel):
        name: Literal["Paris", "Rome"]
        inhabitants: int = Field(ge=0, le=99_999_999)

    response = client.responses.parse(
        model=model, input="Describe Paris.", text_format=City, temperature=0, max_output_tokens=200
    )
    assert isinstance(response.output_parsed, City)


def test_a_call_goes_round(client, model):
    first = client.responses.create(
        model=model,
        input="What is the weather in Rome?",
        tools=[WEATHER],
        tool_choice={"type": "function", "name": "get_weather"},
        temperature=0,
    )
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert call.name == "get_weather" and isinstance(json.loads(call.arguments)["city"], str)
    second = client.responses.create(
        model=model,
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "sunny, 25 degrees"}],
        temperature=0,
        max_output_tokens=32,
    )
    assert second.output_text and second.previous_response_id == first.id


def test_a_call_streams_its_arguments(client, model):
    events = client.responses.create(
        model=model, input="Weather in Oslo?", tools=[WEATHER], tool_choice="required", temperature=0, stream=True
    )
    arguments, calls = {}, 0
    for event in events:
        if event.type == "response.function_call_arguments.delta":
            arguments[event.item_id] = arguments.get(event.item_id, "") + event.delta
        if event.type == "response.function_call_arguments.done":
            assert event.arguments == arguments[event.item_id] and event.name == "get_weather"
            calls += 1
    assert calls


def test_items_of_an_answer_can_be_sent_back(client, model):
    first = client.responses.create(model=model, input="Say one word.", temperature=0, max_output_tokens=8, store=False)
    history = ask("Say one word.") + [item.model_dump() for item in first.output] + ask("And another.")
    second = client.responses.create(model=model, input=history, temperature=0, max_output_tokens=8, store=False)
    assert second.output_text
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(second.id)


def test_what_is_stored_answers_as_what_is_sent_again(client, model):
    """The same text at temperature 0, whether the server remembers or the client repeats; the prefix is not computed twice."""
    options = dict(model=model, temperature=0, max_output_tokens=24)
    conversation = client.conversations.create()
    history, last = [], None
    for text in ["My name is Ada.", "I like the number seven.", "What is my name?"]:
        history += ask(text)
        # A cold and a cached prompt round differently: all three below begin from the cached one.
        client.responses.create(input=history, store=False, **options)
        last = client.responses.create(input=text, conversation=conversation.id, **options)
        sent = client.responses.create(input=history, store=False, **options)
        assert last.output_text == sent.output_text
        history += [{"role": "assistant", "content": last.output_text}]
    assert last.usage.input_tokens_details.cached_tokens > last.usage.input_tokens / 2
    chained = None
    for text in ["My name is Ada.", "I like the number seven.", "What is my name?"]:
        chained = client.responses.create(input=text, previous_response_id=chained and chained.id, **options)
    assert chained.output_text == last.output_text


def test_conversations_are_made_read_changed_and_deleted(client):
    made = client.conversations.create(metadata={"topic": "demo"}, items=[{"type": "message", "role": "user", "content": "Hi"}])
    assert made.id.startswith("conv_") and client.conversations.retrieve(made.id).metadata == {"topic": "demo"}
    assert client.conversations.update(made.id, metadata={"topic": "new"}).metadata == {"topic": "new"}
    added = client.conversations.items.create(
        made.id, items=[{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Again"}]}]
    )
    assert [item.content[0].text for item in client.conversations.items.list(made.id)] == ["Again", "Hi"]
    item = client.conversations.items.retrieve(added.data[0].id, conversation_id=made.id)
    assert item.content[0].text == "Again"
    client.conversations.items.delete(item.id, conversation_id=made.id)
    assert len(client.conversations.items.list(made.id).data) == 1
    assert client.conversations.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(made.id)


def test_chat_remembers_with_one_field_more(client, model):
    conversation = client.conversations.create()
    options = dict(model=model, temperature=0, max_tokens=16, extra_body={"conversation": conversation.id})
    client.chat.completions.create(messages=ask("My name is Ada."), **options)
    answer = client.chat.completions.create(messages=ask("What is my name?"), **options)
    assert answer.usage.prompt_tokens_details.cached_tokens > 0
    roles = [item.role for item in client.conversations.items.list(conversation.id, order="asc")]
    assert roles == ["user", "assistant", "user", "assistant"]


def wait_for(client, response):
    end = time.monotonic() + PATIENCE
    while response.status in ("queued", "in_progress"):
        assert time.monotonic() < end, response.status
        time.sleep(0.05)
        response = client.responses.retrieve(response.id)
    return response


def test_in_the_background_and_told_again_from_any_place(client, model):
    queued = client.responses.create(model=model, input="Count to five.", background=True, temperature=0, max_output_tokens=16)
    assert queued.status == "queued"
    done = wait_for(client, queued)
    assert done.output_text
    events = list(client.responses.retrieve(queued.id, stream=True))
    assert events[-1].response.output_text == done.output_text
    middle = len(events) // 2
    rest = list(client.responses.retrieve(queued.id, stream=True, starting_after=middle))
    assert [event.sequence_number for event in rest] == [event.sequence_number for event in events[middle + 1 :]]


def test_a_stream_that_breaks_is_resumed(client, model):
    stream = client.responses.create(
        model=model, input="Count for ever.", background=True, stream=True, max_output_tokens=64, temperature=0
    )
    text, number, id = "", None, None
    for event in stream:
        id = id or event.response.id
        number = event.sequence_number
        if event.type == "response.output_text.delta":
            text += event.delta
            break
    stream.close()
    for event in client.responses.retrieve(id, stream=True, starting_after=number):
        if event.type == "response.output_text.delta":
            text += event.delta
    assert text == client.responses.retrieve(id).output_text


def test_a_background_response_is_given_up(client, model):
    queued = client.responses.create(
        model=model, input="Count for ever.", background=True, max_output_tokens=2000, extra_body={"logit_bias": ENDLESS}
    )
    assert client.responses.cancel(queued.id).status == "cancelled"
    assert client.responses.retrieve(queued.id).status == "cancelled"


def test_what_cannot_be_honoured_is_refused_by_name(client, model):
    with pytest.raises(openai.BadRequestError, match="web_search"):
        client.responses.create(model=model, input="hi", tools=[{"type": "web_search"}])
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model=model, input="hi", previous_response_id="resp_nobodys")
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model=model, input="hi", conversation="conv_nobodys")
