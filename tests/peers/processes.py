"""Real servers on free ports: this gateway, llama-server and LiteLLM, each ended with the test run."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

PATIENCE = float(os.environ.get("SLUICE_TEST_PATIENCE", "180"))


def until(condition, what):
    """Waits for a condition, which may raise while it does not hold."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if found := condition():
                return found
            problem = None
        except (OSError, AssertionError) as error:
            problem = error
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true in {PATIENCE} s") from problem
        time.sleep(0.05)


def answers(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.status == 200


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Server:
    """A process that answers HTTP; `root` is where, or a function that tells it once it is known."""

    def __init__(self, command, folder, root, ready, env=None):
        self.root = root
        self.log = Path(folder) / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=folder, env={**os.environ, **(env or {})},
            )
        try:
            until(lambda: self.is_ready(ready), f"{command[0]} being ready")
        except BaseException:
            self.end()
            print(self.log.read_text(errors="replace")[-4000:])
            raise

    def is_ready(self, path):
        if self.process.poll() is not None:
            raise RuntimeError(f"ended with {self.process.returncode}: {self.log.read_text(errors='replace')[-2000:]}")
        if callable(self.root):
            self.root = self.root()
        return answers(self.root + path)

    def end(self, how=signal.SIGTERM):
        """Ends it; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def gateway(folder, config):
    """This gateway with a configuration file's text."""
    folder.mkdir()
    (folder / "gateway.toml").write_text(config)
    data = folder / "data"
    address = data / "gateway.addr"

    def root():
        text = address.read_text().strip()
        assert text, "no address yet"
        return f"http://{text}"

    env = {"GATEWAY_LISTEN": "127.0.0.1:0", "GATEWAY_DATA_DIR": data, "GATEWAY_CONFIG": folder / "gateway.toml"}
    server = Server(
        [os.environ["PEERS_GATEWAY"], "serve"], folder, root, "/readyz", {name: str(value) for name, value in env.items()}
    )
    server.key = (data / "admin.key").read_text().strip()
    return server


def llama_server(folder, model, port):
    """llama-server; `None` where this processor cannot run it."""
    folder.mkdir()
    binary = Path(os.environ["PEERS_LLAMA_SERVER"])
    libraries = {"LD_LIBRARY_PATH": str(binary.parent), "GGML_VK_VISIBLE_DEVICES": ""}
    command = [binary, "--model", model, "--host", "127.0.0.1", "--port", port, "--ctx-size", 4096, "--parallel", 2]
    options = ["--threads", 2, "--jinja", "--alias", "smollm", "--slots", "--no-webui"]
    try:
        return Server([*command, *options], folder, f"http://127.0.0.1:{port}", "/health", libraries)
    except RuntimeError as error:
        # Its kernels are compiled for processors that not every machine has.
        if f"ended with {-signal.SIGILL}" in str(error):
            return None
        raise


def litellm(folder, behind, key):
    """LiteLLM before a gateway."""
    folder.mkdir()
    port = free_port()
    parameters = f'api_base: "{behind}/v1", api_key: "{key}"'
    (folder / "config.yaml").write_text(
        "model_list:\n"
        f"  - model_name: smollm\n    litellm_params: {{model: openai/smollm, {parameters}}}\n"
        "litellm_settings: {drop_params: true, num_retries: 0}\n"
        "general_settings: {master_key: sk-peers}\n"
    )
    command = [os.environ["PEERS_LITELLM"], "--config", folder / "config.yaml", "--host", "127.0.0.1", "--port", port]
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "DISABLE_ADMIN_UI": "True", "LITELLM_MODE": "PRODUCTION"}
    return Server([*command, "--telemetry", "False"], folder, f"http://127.0.0.1:{port}", "/health/liveliness", env)
