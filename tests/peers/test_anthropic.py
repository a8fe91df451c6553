"""Anthropic's SDK over every target."""

import pytest
from asking import ask, settled
from conftest import WITHOUT_TOOLS

GREEDY = {"temperature": 0}
WEATHER = {
    "name": "get_weather",
    "strict": True,
    "input_schema": {
        "type": "object", "properties": {"city": {"enum": ["Paris", "Oslo"]}}, "required": ["city"], "additionalProperties": False,
    },
}  # fmt: skip


def test_a_stream_says_what_the_whole_message_says(claude, target):
    request = dict(model=target, max_tokens=16, extra_body=GREEDY, system="You are brief.", messages=ask("Tell me about the sea."))
    whole = settled(claude.messages.create, **request)
    with claude.messages.stream(**request) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[0].text == whole.content[0].text
    assert final.stop_reason == whole.stop_reason and final.usage.output_tokens == whole.usage.output_tokens


def test_a_tool_is_called_and_its_result_understood(claude, target):
    if target in WITHOUT_TOOLS:
        pytest.skip("its template knows no tools")
    messages = ask("The weather in Oslo?")
    options = dict(model=target, max_tokens=100, tools=[WEATHER], extra_body=GREEDY)
    choice = {"type": "any", "disable_parallel_tool_use": True}
    first = claude.messages.create(**options, tool_choice=choice, messages=messages)
    [call] = [block for block in first.content if block.type == "tool_use"]
    assert first.stop_reason == "tool_use" and call.input["city"] in ("Paris", "Oslo")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "snow"}
    messages += [first.to_param(), {"role": "user", "content": [result]}]
    second = claude.messages.create(**{**options, "max_tokens": 8}, tool_choice={"type": "none"}, messages=messages)
    assert second.stop_reason in ("end_turn", "max_tokens")


def test_tokens_are_counted_or_estimated(claude, target):
    short = claude.messages.count_tokens(model=target, messages=ask("Hi")).input_tokens
    long = claude.messages.count_tokens(model=target, messages=ask("Hi " * 100)).input_tokens
    assert 0 < short < long


def test_the_stop_sequence_is_named_where_the_target_tells_it(claude, target):
    request = dict(model=target, max_tokens=24, extra_body=GREEDY, messages=ask("Write about rivers."))
    full = settled(claude.messages.create, **request).content[0].text
    stop = full[8:14]
    cut = claude.messages.create(**request, stop_sequences=[stop])
    assert cut.content[0].text == full.split(stop)[0]
    if target in ("smollm", "gemma"):
        assert cut.stop_reason == "stop_sequence" and cut.stop_sequence == stop
    else:
        assert cut.stop_reason in ("stop_sequence", "end_turn")
