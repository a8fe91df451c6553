#!/usr/bin/env bash
# Brings docker-compose.yml up under a name of its own, on free ports and with empty volumes; uses it from outside, breaks
# it (tests/stack), asks every dashboard's expression, and takes it all down, volumes too. `./test --stack` runs it.
#
# Needs docker with `docker compose` 2.23 or newer, and a daemon that answers (DOCKER_HOST as ever).
#   STACK_DOCKERD=1   starts a daemon for the time being (as root, where none runs), with its data in .cache/docker
#   STACK_IMAGES=CMD  prepares images that cannot be pulled here: CMD -f docker-compose.yml
#   STACK_KEEP=1      leaves the stack up, and says how to take it down
#   STACK_PATIENCE    seconds to wait for anything (300)
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
# shellcheck source=tests/sdk/python.sh
source "$ROOT/tests/sdk/python.sh"

export STACK_PATIENCE=${STACK_PATIENCE:-300}
export COMPOSE_PROJECT_NAME=sluice-test-$$ SLUICE_TAG=test
export NO_PROXY='127.0.0.1,localhost' no_proxy='127.0.0.1,localhost'
COMPOSE=(docker compose --env-file /dev/null --file "$ROOT/docker-compose.yml")
daemon=
scratch=

compose() { "${COMPOSE[@]}" "$@" </dev/null; }

cleanup() {
  local code=$?
  trap - EXIT INT TERM
  if [ -n "${STACK_KEEP:-}" ] && [ -z "$daemon" ]; then
    say "left up: COMPOSE_PROJECT_NAME=$COMPOSE_PROJECT_NAME ${COMPOSE[*]} down --volumes"
  else
    compose down --volumes --remove-orphans >/dev/null 2>&1 || true
  fi
  if [ -n "$daemon" ]; then
    kill -TERM "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  fi
  [ -z "$scratch" ] || rm -rf "$scratch"
  exit "$code"
}

# A daemon of our own, on a socket of its own. Beside another it would rewrite that one's rules of the network.
start_daemon() {
  ! docker info >/dev/null 2>&1 || die "a Docker daemon answers already: leave STACK_DOCKERD away to use it."
  has dockerd || die "dockerd is missing (Debian's package docker.io)."
  [ "$(id -u)" -eq 0 ] || die "STACK_DOCKERD=1 needs root."
  # Not below .cache: a socket's path must be short.
  scratch=$(mktemp -d)
  mkdir -p "$CACHE/docker"
  export DOCKER_HOST="unix://$scratch/docker.sock"
  dockerd --data-root "$CACHE/docker" --exec-root "$scratch/exec" --pidfile "$scratch/pid" --host "$DOCKER_HOST" \
    >"$CACHE/dockerd.log" 2>&1 </dev/null &
  daemon=$!
  local deadline=$((SECONDS + 60))
  until docker info >/dev/null 2>&1; do
    if ! kill -0 "$daemon" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
      tail -n 20 "$CACHE/dockerd.log" >&2
      die "dockerd did not start; its log is $CACHE/dockerd.log"
    fi
    sleep 0.5
  done
}

# As many free ports as variables are named; the gateway gets two, side by side, since there will be two of it.
choose_ports() {
  local ports
  ports=$(
    python3 - "$@" <<'PYTHON'
import socket, sys
held = []
def free(port=0):
    listening = socket.socket()
    held.append(listening)
    listening.bind(("127.0.0.1", port))
    return listening.getsockname()[1]
def pair():
    while True:
        first = free()
        try:
            return f"{first}-{free(first + 1)}"
        except (OSError, OverflowError):
            pass
for name in sys.argv[1:]:
    print(f"{name}={pair() if name == 'GATEWAY_PORT' else free()}")
PYTHON
  )
  while IFS= read -r port; do export "${port?}"; done <<<"$ports"
}

# As `docker compose up` does it; where the model's makers cannot be reached from a container, out of our cache.
fetch_model() {
  compose run --rm -T model model pull default && return 0
  say "no container reaches the default model's address: it is taken from $CACHE/models"
  need_model "$ROOT/data"
  compose run --rm -T --volume "$CACHE/models:/from:ro" model model pull "/from/$MODEL_FILE"
}

# What this stack cannot have on the boards: upstreams.
boards() {
  PROMETHEUS_URL="http://127.0.0.1:$PROMETHEUS_PORT" PROMETHEUS_RANGE=900 \
    PROMETHEUS_ABSENT="$(tr '\n' ' ' <"$ROOT/tests/stack/absent.txt")" "$ROOT/tests/grafana/run" "$@"
}

has docker || die "docker is missing (Debian's packages docker.io and, of trixie, docker-compose)."
version=$(docker compose version --short 2>/dev/null) || die "'docker compose' is missing: version 2.23 or newer is needed."
at_least "${version#v}" 2.23 || die "docker compose $version is too old: 2.23 or newer is needed."
need_packages build
# None of the caller's own settings may change what is tested.
while IFS='=' read -r name _; do unset "$name"; done < <(env | grep -E '^(GATEWAY|EXPORTER|SLUICE_MODEL|SLUICE_BIND)_?' || true)

trap cleanup EXIT
trap 'exit 130' INT TERM
[ -z "${STACK_DOCKERD:-}" ] || start_daemon
docker info >/dev/null 2>&1 || die "no Docker daemon answers; start one, or set STACK_DOCKERD=1."
choose_ports GATEWAY_PORT EXPORTER_PORT PROMETHEUS_PORT ALERTMANAGER_PORT GRAFANA_PORT
[ -z "${STACK_IMAGES:-}" ] || "$STACK_IMAGES" -f "$ROOT/docker-compose.yml"

began=$SECONDS
say "building the images; the first time compiles llama.cpp for every kind of CPU"
compose build --quiet
say "built in $((SECONDS - began)) s:"
docker images --format '{{.Repository}} {{.Size}}' | grep -E '^sluice-(gateway|exporter) ' | sort -u >&2
began=$SECONDS
fetch_model
compose up --detach --quiet-pull
say "up in $((SECONDS - began)) s"

set_up_python "$ROOT/tests/sdk/python/requirements.txt"
code=0
(cd "$ROOT/tests/stack" && PYTHONDONTWRITEBYTECODE=1 "$ROOT/.venv/bin/python" -m pytest) || code=1
boards test_queries.py || code=1
[ "$code" -eq 0 ] || compose logs --tail 40 >&2
[ "$code" -eq 0 ]
