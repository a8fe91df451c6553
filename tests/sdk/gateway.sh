# shellcheck shell=bash
# A gateway on a free port for suites in other languages. Sourced, never run; sets ROOT and ends the gateway at exit.
#
# Needs the built gateway (`cargo build --release --workspace`) and the default model (./test puts it there).
#   SLUICE_GATEWAY        another binary           SLUICE_TEST_MODEL  another GGUF file
#   SLUICE_TEST_PATIENCE  seconds to wait (180)

# shellcheck source=tests/sdk/python.sh
source "$(dirname "${BASH_SOURCE[0]}")/python.sh"
GATEWAY=${SLUICE_GATEWAY:-$ROOT/target/release/gateway}
MODEL=${SLUICE_TEST_MODEL:-$ROOT/data/models/SmolLM2-135M-Instruct.Q4_1.gguf}
export SLUICE_TEST_PATIENCE=${SLUICE_TEST_PATIENCE:-180}
export NO_PROXY='127.0.0.1,localhost' no_proxy='127.0.0.1,localhost'

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

[ -x "$GATEWAY" ] || die "no gateway at $GATEWAY: cargo build --release --workspace"
[ -f "$MODEL" ] || die "no model at $MODEL: ./test puts it there"

# None of the caller's own settings may change what is tested.
while IFS='=' read -r name _; do unset "$name"; done < <(env | grep '^GATEWAY_' || true)

data=$(mktemp -d)
gateway=
cleanup() {
  if [ -n "$gateway" ]; then
    kill -TERM "$gateway" 2>/dev/null || true
    wait "$gateway" 2>/dev/null || true
  fi
  rm -rf "$data"
}
trap cleanup EXIT

# start_gateway VARIABLE=VALUE…: starts one with these settings and an empty data folder; sets SLUICE_ROOT (its URL)
# and SLUICE_KEY (its admin's key).
start_gateway() {
  rm -rf "${data:?}"/*
  env GATEWAY_LISTEN=127.0.0.1:0 GATEWAY_DATA_DIR="$data" GATEWAY_MODEL="$MODEL" "$@" \
    "$GATEWAY" serve >"$data/log" 2>&1 </dev/null &
  gateway=$!
  local deadline=$((SECONDS + SLUICE_TEST_PATIENCE))
  until [ -s "$data/gateway.addr" ] && curl -fsS -o /dev/null "http://$(cat "$data/gateway.addr")/readyz" 2>/dev/null; do
    if ! kill -0 "$gateway" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
      cat "$data/log" >&2
      die "the gateway did not get ready"
    fi
    sleep 0.1
  done
  SLUICE_ROOT="http://$(cat "$data/gateway.addr")"
  SLUICE_KEY=$(cat "$data/admin.key")
  export SLUICE_ROOT SLUICE_KEY
}

# Ends it; fails if it had died, did not end well, or its log tells of a crash.
stop_gateway() {
  local ended=0 code=0
  if ! kill -TERM "$gateway" 2>/dev/null; then
    code=1
    printf 'the gateway died during the tests\n' >&2
  fi
  wait "$gateway" || ended=$?
  gateway=
  if [ "$ended" -ne 0 ] || grep -qE 'panicked at|GGML_ASSERT' "$data/log"; then
    code=1
    printf 'the gateway ended with %s\n' "$ended" >&2
  fi
  return "$code"
}
