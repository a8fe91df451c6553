"""One gateway for all tests, over two models of its own and two other servers."""

import os
from dataclasses import dataclass

import anthropic
import openai
import processes
import pytest
from processes import PATIENCE

SMOLLM, GEMMA = os.environ["PEERS_SMOLLM"], os.environ["PEERS_GEMMA"]
LOCAL = ["smollm", "gemma"]
TARGETS = [*LOCAL, "llama-server", "litellm"]
# Gemma's template knows no tools, nor does SmolLM2's, for which llama-server then calls none (the gateway constrains).
WITHOUT_TOOLS = ("gemma", "llama-server")

CONFIG = """
[[models]]
id = "smollm"
path = "{smollm}"
context = 2048
parallel = 4

[[models]]
id = "gemma"
path = "{gemma}"
context = 2048
parallel = 2
chat_template = "{template}"

[[models]]
id = "llama-server"
url = "http://127.0.0.1:{port}/v1"
upstream_model = "smollm"
context = 2048

[[models]]
id = "litellm"
url = "{litellm}/v1"
upstream_model = "smollm"
key_file = "{key}"
context = 2048

[[routes]]
name = "split"
targets = [{{ model = "smollm" }}, {{ model = "litellm" }}]

[[routes]]
name = "either"
targets = [{{ model = "llama-server" }}]
fallback = ["litellm", "smollm"]
"""

# The base model of Gemma 3 brings no template; this is the one of its sibling for chats, without tools.
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>"
    "{{ 'model' if message.role == 'assistant' else 'user' }}\n{{ message.content }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


@dataclass
class House:
    """The gateway and what is behind it."""

    gateway: processes.Server
    inner: processes.Server
    litellm: processes.Server
    llama_server: processes.Server | None
    llama_port: int
    root: object


@pytest.fixture(scope="session")
def house(tmp_path_factory):
    root, running, house = tmp_path_factory.mktemp("house"), [], None
    try:
        smollm = f'[[models]]\nid = "smollm"\npath = "{SMOLLM}"\ncontext = 2048\nparallel = 4\n'
        inner = processes.gateway(root / "inner", smollm)
        running.append(inner)
        port = processes.free_port()
        llama = processes.llama_server(root / "llama", SMOLLM, port)
        running.append(llama)
        litellm = processes.litellm(root / "litellm", inner.root, inner.key)
        running.append(litellm)
        (root / "key").write_text("sk-peers")
        (root / "template.jinja").write_text(TEMPLATE)
        config = CONFIG.format(
            smollm=SMOLLM, gemma=GEMMA, port=port, litellm=litellm.root, key=root / "key", template=root / "template.jinja"
        )
        gateway = processes.gateway(root / "gateway", config)
        running.append(gateway)
        house = House(gateway, inner, litellm, llama, port, root)
        yield house
        assert gateway.end() == 0, gateway.log.read_text()[-4000:]
        assert "panicked at" not in gateway.log.read_text()
    finally:
        # A test may have started another llama-server.
        for server in [house and house.llama_server, *reversed(running)]:
            if server:
                server.end()


@pytest.fixture(params=TARGETS)
def target(request, house):
    """The name of each model in turn, wherever it runs."""
    if request.param == "llama-server" and house.llama_server is None:
        pytest.skip("this llama-server is compiled for other processors")
    return request.param


@pytest.fixture(scope="session")
def client(house):
    with openai.OpenAI(base_url=f"{house.gateway.root}/v1", api_key=house.gateway.key, max_retries=0, timeout=PATIENCE) as client:
        yield client


@pytest.fixture(scope="session")
def claude(house):
    with anthropic.Anthropic(base_url=house.gateway.root, api_key=house.gateway.key, max_retries=0, timeout=PATIENCE) as claude:
        yield claude
