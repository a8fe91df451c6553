"""Stand-ins that end with the test."""

import pytest

from stand_ins import Exporter, Receiver


@pytest.fixture
def exporter():
    with Exporter() as server:
        yield server


@pytest.fixture
def receiver():
    with Receiver() as server:
        yield server
