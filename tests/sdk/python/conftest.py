"""Clients for the gateway that `tests/sdk/run` started."""

import os

import pytest
from asking import ask, settled
from openai import AsyncOpenAI, OpenAI

__all__ = ["ENDLESS", "KEY", "PATIENCE", "URL", "ask", "settled"]

URL = os.environ["SLUICE_URL"]
KEY = os.environ["SLUICE_KEY"]
PATIENCE = float(os.environ.get("SLUICE_TEST_PATIENCE", "180"))


@pytest.fixture(scope="session")
def client():
    """A client that never retries, so that every failure is seen."""
    with OpenAI(base_url=URL, api_key=KEY, max_retries=0, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
async def async_client():
    async with AsyncOpenAI(base_url=URL, api_key=KEY, max_retries=0, timeout=PATIENCE) as client:
        yield client


@pytest.fixture(scope="session")
def model(client):
    return client.models.list().data[0].id


# `<|im_end|>` and `<|endoftext|>` of the default model: without them an answer goes on to its limit.
ENDLESS = {"0": -100, "2": -100}
