"""Structured outputs and tools through the SDK's own parsing."""

import json
from typing import Literal

import openai
from conftest import ask
from pydantic import BaseModel, Field


# Every field has an end: what a small model draws for one without may go on until the tokens are spent.
class Person(BaseModel):
    name: Literal["Ada", "Grace", "Edsger"]
    mood: Literal["calm", "cheerful", "grumpy"]
    tags: list[Literal["tall", "short", "quick"]] = Field(max_length=4)
    married: bool


class Weather(BaseModel):
    """The weather of a city."""

    city: Literal["Paris", "Oslo", "Rome"]
    unit: Literal["celsius", "fahrenheit"] = Field(description="the unit")


def test_parse_returns_the_type(client, model):
    for seed in range(3):
        completion = client.chat.completions.parse(
            model=model, messages=ask("Invent a person."), response_format=Person, seed=seed, max_tokens=400
        )
        try:
            assert isinstance(completion.choices[0].message.parsed, Person)
        except openai.LengthFinishReasonError:
            raise AssertionError("the answer did not end") from None


def test_the_streaming_helper_parses_at_the_end(client, model):
    with client.chat.completions.stream(
        model=model, messages=ask("Invent a person."), response_format=Person, seed=3, max_tokens=400
    ) as stream:
        for _ in stream:
            pass
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Person)


def test_tools_are_parsed_and_their_results_go_back(client, model):
    messages = ask("What is the weather in Oslo, in celsius?")
    tools = [openai.pydantic_function_tool(Weather)]
    completion = client.chat.completions.parse(
        model=model,
        messages=messages,
        tools=tools,
        tool_choice="required",
        parallel_tool_calls=False,
        seed=1,
        max_tokens=300,
    )
    message = completion.choices[0].message
    assert completion.choices[0].finish_reason == "tool_calls"
    for call in message.tool_calls:
        assert isinstance(call.function.parsed_arguments, Weather)
    messages = messages + [message.model_dump(exclude_none=True, exclude={"parsed"})]
    for call in message.tool_calls:
        for made in messages[-1]["tool_calls"]:
            made["function"].pop("parsed_arguments", None)
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "3 degrees, snow"})
    answer = client.chat.completions.create(
        model=model, messages=messages, tools=tools, tool_choice="none", temperature=0, max_tokens=24
    )
    assert answer.choices[0].message.content


def test_tool_calls_stream_as_deltas(client, model):
    name, arguments = "", ""
    stream = client.chat.completions.create(
        model=model,
        messages=ask("The weather in Rome?"),
        tools=[openai.pydantic_function_tool(Weather)],
        tool_choice={"type": "function", "function": {"name": "Weather"}},
        parallel_tool_calls=False,
        stream=True,
        max_tokens=300,
    )
    for chunk in stream:
        for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            name += call.function.name or ""
            arguments += call.function.arguments or ""
    assert name == "Weather"
    Weather.model_validate(json.loads(arguments))


def test_the_streaming_helper_understands_tool_calls(client, model):
    with client.chat.completions.stream(
        model=model,
        messages=ask("The weather in Paris?"),
        tools=[openai.pydantic_function_tool(Weather)],
        tool_choice="required",
        parallel_tool_calls=False,
        seed=2,
        max_tokens=300,
    ) as stream:
        kinds = {event.type for event in stream}
        message = stream.get_final_completion().choices[0].message
    assert "tool_calls.function.arguments.done" in kinds
    assert isinstance(message.tool_calls[0].function.parsed_arguments, Weather)
