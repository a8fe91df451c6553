"""Models, completions and embeddings through the official SDK."""

import math

from conftest import ask, settled


def test_models(client, model):
    models = client.models.list()
    assert model in [each.id for each in models]
    assert client.models.retrieve(model).object == "model"


def test_completions_whole_and_streamed(client, model):
    request = dict(model=model, prompt="The capital of France is", temperature=0, max_tokens=8)
    whole = settled(client.completions.create, **request)
    assert "Paris" in whole.choices[0].text
    streamed = "".join(
        chunk.choices[0].text for chunk in client.completions.create(**request, stream=True) if chunk.choices
    )
    assert streamed == whole.choices[0].text


def test_embeddings_by_default_as_base64_and_as_floats(client, model):
    # Without an encoding_format the SDK asks for base64 and decodes it.
    by_default = client.embeddings.create(model=model, input=["a cat", "a dog"])
    floats = client.embeddings.create(model=model, input=["a cat", "a dog"], encoding_format="float")
    assert [each.index for each in by_default.data] == [0, 1]
    for left, right in zip(by_default.data, floats.data, strict=True):
        assert len(left.embedding) == len(right.embedding) > 100
        assert math.isclose(sum(x * x for x in left.embedding), 1, rel_tol=1e-3)
        assert all(abs(x - y) < 1e-3 for x, y in zip(left.embedding, right.embedding, strict=True))
    assert by_default.usage.prompt_tokens > 2


async def test_the_async_client_streams(async_client, model):
    stream = await async_client.chat.completions.create(
        model=model, messages=ask("Say hello."), stream=True, max_tokens=8, temperature=0
    )
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
    assert text
