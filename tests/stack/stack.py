"""The stack that scripts/stack.sh brought up, from outside: its ports, and what `docker` tells of it."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from openai import OpenAI, OpenAIError

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = float(os.environ.get("STACK_PATIENCE", "300"))
# The caller's .env is not read: what is tested are the defaults.
COMPOSE = ["docker", "compose", "--env-file", os.devnull, "--file", str(ROOT / "docker-compose.yml")]
# Not by a proxy of the environment.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# What a part that is not there yet makes of a question.
NOT_YET = (
    OSError,
    AssertionError,
    LookupError,
    StopIteration,
    OpenAIError,
    subprocess.CalledProcessError,
)

CHATS = 'http_requests_total{route="create_chat_completion", status="200"}'

SERVICES = {
    "gateway": 8080,
    "exporter": 9464,
    "prometheus": 9090,
    "alertmanager": 9093,
    "grafana": 3000,
    "redis": None,
}


def docker(*arguments):
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout


def compose(*arguments):
    """What the command prints; its errors are shown if it fails."""
    done = subprocess.run([*COMPOSE, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker compose {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def inside(service, *command, index=1):
    """Exit code and output of a command inside of a service's container."""
    call = [*COMPOSE, "exec", "-T", "--index", str(index), service, *command]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def container(service, index=1):
    """All that is known of it."""
    names = compose("ps", "--all", "--format", "{{.Name}}", service).split()
    name = next(name for name in names if name.endswith(f"-{service}-{index}"))
    return json.loads(docker("inspect", name))[0]


def url(service, path="", index=1):
    return f"http://{compose('port', '--index', str(index), service, str(SERVICES[service])).strip()}{path}"


def fetch(address, body=None, **headers):
    """(status, JSON or text) of an answer."""
    data = None if body is None else json.dumps(body).encode()
    known = {"content-type": "application/json"} if data else {}
    request = urllib.request.Request(address, data, known | headers)
    try:
        with DIRECT.open(request, timeout=120) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def until(check, what):
    """The first true answer of `check`; what it raises counts as not yet."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            answer = check()
        except NOT_YET as error:
            answer, last = None, error
        else:
            last = answer
        if answer:
            return answer
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE:.0f} s, last {last!r}"
        time.sleep(1)


def healthy(service, index=1):
    return container(service, index)["State"]["Health"]["Status"] == "healthy"


def query(expression):
    """What Prometheus answers: [(labels, value)]."""
    address = url("prometheus", "/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
    status, answer = fetch(address)
    assert status == 200, answer
    return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]


def chats():
    """Those that Prometheus has counted."""
    return sum(value for _, value in query(f"sum({CHATS})"))


def own_chats(key):
    """Those that the gateway itself has counted since it was started."""
    status, text = fetch(url("gateway", "/metrics"), authorization=f"Bearer {key}")
    assert status == 200, text
    wanted = ('route="create_chat_completion"', 'status="200"')
    lines = [line for line in text.splitlines() if line.startswith("http_requests_total{")]
    return sum(float(line.split()[-1]) for line in lines if all(label in line for label in wanted))


def sdk(key, index=1):
    """OpenAI's own client, which never retries, so that every failure is seen."""
    return OpenAI(base_url=url("gateway", "/v1", index), api_key=key, max_retries=0, timeout=PATIENCE)


def kill(service):
    """As the system would: by its process, so that Docker takes it for a crash and not for an order."""
    pid = str(container(service)["State"]["Pid"])
    image = container("gateway")["Config"]["Image"]
    options = ["--rm", "--pid=host", "--user=0:0", "--network=none", "--cap-drop=ALL", "--cap-add=KILL"]
    docker("run", *options, "--entrypoint=/bin/sh", image, "-c", f"kill -9 {pid}")
