"""Failures arrive as the SDK's own exception types."""

import openai
import pytest
from conftest import KEY, URL, ask


def test_a_wrong_key(model):
    with openai.OpenAI(base_url=URL, api_key="sk-wrong", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError) as caught:
            stranger.models.list()
    assert caught.value.status_code == 401 and caught.value.type == "authentication_error"
    assert caught.value.request_id


def test_an_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-4o", messages=ask("Hi"))
    assert caught.value.code == "model_not_found" and caught.value.param == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4o")


def test_a_bad_request_names_its_parameter(client, model):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=model, messages=ask("Hi"), temperature=9)
    assert caught.value.param == "temperature" and caught.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=model, messages=[], stream=True)


def test_too_long_a_prompt(client, model):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=model, messages=ask("word " * 9000))
    assert caught.value.code == "context_length_exceeded"


def test_an_unknown_route(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.get("/nothing", cast_to=object)
    assert caught.value.type == "not_found_error"


def test_the_right_key_is_the_only_thing_needed(model):
    with openai.OpenAI(base_url=URL, api_key=KEY) as client:
        assert client.models.retrieve(model).id == model
