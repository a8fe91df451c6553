"""OpenAI's SDK over every target: what it is answered does not depend on who answers."""

import json
import urllib.request

import openai
import pytest
from asking import ask, settled
from conftest import LOCAL, WITHOUT_TOOLS
from processes import until

CITIES = {"type": "object", "properties": {"city": {"enum": ["Paris", "Oslo"]}}, "required": ["city"], "additionalProperties": False}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": CITIES, "strict": True}}


def follow(stream):
    """The text of a streamed chat, why it ended, and its usage."""
    text, reason, usage = "", None, None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
    return text, reason, usage


def test_a_stream_says_what_the_whole_answer_says(client, target):
    request = dict(model=target, messages=ask("Tell me about the sea."), temperature=0, max_tokens=16)
    whole = settled(client.chat.completions.create, **request)
    text, reason, usage = follow(client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
    assert text == whole.choices[0].message.content and reason == whole.choices[0].finish_reason
    assert usage.completion_tokens == whole.usage.completion_tokens <= 16
    assert usage.prompt_tokens == whole.usage.prompt_tokens > 5


def test_usage_that_was_not_asked_for_is_not_told(client, target):
    stream = client.chat.completions.create(model=target, messages=ask("Hi"), temperature=0, max_tokens=4, stream=True)
    chunks = list(stream)
    assert all(chunk.usage is None for chunk in chunks)
    assert all(chunk.choices for chunk in chunks)


def test_the_answer_names_who_gave_it(client, target):
    request = dict(model=target, messages=ask("Hi"), max_tokens=1)
    assert client.chat.completions.with_raw_response.create(**request).headers["x-sluice-target"] == target
    assert client.chat.completions.with_raw_response.create(**request, stream=True).headers["x-sluice-target"] == target


def test_text_is_completed(client, target):
    request = dict(model=target, prompt="The capital of France is", temperature=0, max_tokens=6)
    whole = settled(client.completions.create, **request)
    # LiteLLM's last chunk has no text.
    streamed = "".join(chunk.choices[0].text or "" for chunk in client.completions.create(**request, stream=True) if chunk.choices)
    assert streamed == whole.choices[0].text != ""


def test_texts_become_vectors(client, target):
    if target == "llama-server":
        pytest.skip("it makes vectors only when started for nothing else")
    answer = client.embeddings.with_raw_response.create(model=target, input=["a cat", "a dog"])
    vectors = answer.parse()
    assert answer.headers["x-sluice-target"] == target
    assert [len(each.embedding) for each in vectors.data] == [len(vectors.data[0].embedding)] * 2
    assert vectors.usage.prompt_tokens > 2


def test_responses_are_kept_and_go_on(client, target):
    first = client.responses.create(model=target, input="Say hello.", temperature=0, max_output_tokens=8)
    events = list(
        client.responses.create(
            model=target, input="Again.", previous_response_id=first.id, temperature=0, max_output_tokens=8, stream=True
        )
    )
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text
    assert events[-1].response.usage.input_tokens > first.usage.input_tokens
    assert client.responses.retrieve(first.id).output_text == first.output_text


def test_a_tool_is_called_whole_and_streamed(client, target):
    if target in WITHOUT_TOOLS:
        pytest.skip("its template knows no tools")
    request = dict(
        model=target, messages=ask("The weather in Oslo?"), tools=[WEATHER], tool_choice="required",
        parallel_tool_calls=False, temperature=0, max_tokens=100,
    )  # fmt: skip
    [call] = client.chat.completions.create(**request).choices[0].message.tool_calls
    assert call.function.name == "get_weather" and json.loads(call.function.arguments)["city"] in ("Paris", "Oslo")
    with client.chat.completions.stream(**request) as stream:
        [streamed] = stream.get_final_completion().choices[0].message.tool_calls
    assert streamed.function.name == "get_weather" and json.loads(streamed.function.arguments)["city"] in ("Paris", "Oslo")


def test_an_answer_keeps_to_a_schema(client, target):
    schema = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": CITIES}}
    answer = client.chat.completions.create(
        model=target, messages=ask("A city in Norway, as JSON."), response_format=schema, temperature=0, max_tokens=60
    )
    assert json.loads(answer.choices[0].message.content)["city"] in ("Paris", "Oslo")


def test_a_prompt_that_is_too_long_is_refused_as_such(client, target):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=target, messages=ask("word " * 6000), max_tokens=4)
    assert caught.value.code == "context_length_exceeded"


def test_a_parameter_that_makes_no_sense_is_refused(client, target):
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model=target, messages=ask("Hi"), temperature=9, stream=stream)
        assert caught.value.param == "temperature"


def test_a_model_that_is_not_there_is_not_found(client):
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nobody", messages=ask("Hi"))


def test_leaving_frees_the_target(client, house, target):
    request = dict(model=target, messages=ask("Count for ever."), max_tokens=1000, logit_bias={"0": -100, "2": -100})
    if target == "gemma":
        request["logit_bias"] = {"1": -100, "106": -100}
    with client.chat.completions.create(**request, stream=True) as stream:
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                break
    until(lambda: not busy(house, target), f"{target} being idle")


def busy(house, target):
    """Whether the model works, as it says itself."""
    if target == "llama-server":
        return any(slot["is_processing"] for slot in fetch(f"{house.llama_server.root}/slots"))
    server = house.gateway if target in LOCAL else house.inner
    load = fetch(f"{server.root}/readyz")
    return any(model["running"] for model in load["models"])


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)
