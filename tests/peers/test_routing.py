"""Routes over real peers: shares, and a peer that goes and comes back."""

import signal

import processes
import pytest
from asking import ask
from conftest import SMOLLM


def answered_by(client, route, text="Hi"):
    answer = client.chat.completions.with_raw_response.create(model=route, messages=ask(text), max_tokens=1, temperature=0)
    assert answer.parse().choices
    return answer.headers["x-sluice-target"]


def test_both_targets_of_a_route_have_their_share(client, house):
    """Of 60 fair draws fewer than 10 for one of two come once in thirty million runs."""
    seen = [answered_by(client, "split") for _ in range(60)]
    assert set(seen) == {"smollm", "litellm"} and min(map(seen.count, set(seen))) >= 10


def test_when_a_peer_dies_the_next_one_answers_and_when_it_is_back_it_does(client, house):
    if house.llama_server is None:
        pytest.skip("this llama-server is compiled for other processors")
    assert answered_by(client, "either") == "llama-server"
    house.llama_server.end(signal.SIGKILL)
    assert [answered_by(client, "either", f"Hi {turn}") for turn in range(12)] == ["litellm"] * 12
    house.llama_server = None
    house.llama_server = processes.llama_server(house.root / "again", SMOLLM, house.llama_port)
    processes.until(lambda: answered_by(client, "either") == "llama-server", "the peer being asked again")


def test_when_every_peer_is_gone_the_model_inside_answers(client, house):
    """The last test of all: nothing that it ends is started again."""
    if house.llama_server:
        house.llama_server.end(signal.SIGKILL)
    house.litellm.end(signal.SIGKILL)
    assert [answered_by(client, "either", f"Hello {turn}") for turn in range(12)] == ["smollm"] * 12
