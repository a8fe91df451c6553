"""The admin's key, and OpenAI's SDK with it."""

import pytest
from stack import inside, sdk


@pytest.fixture(scope="session")
def key():
    code, text = inside("gateway", "cat", "/data/admin.key")
    assert code == 0, text
    return text.strip()


@pytest.fixture
def client(key):
    """At its address of now, which changes with its container."""
    return sdk(key)


@pytest.fixture
def model(client):
    return client.models.list().data[0].id
