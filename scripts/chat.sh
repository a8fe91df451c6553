# shellcheck shell=bash
# Talks to the gateway that ./run started: one streamed chat, and the lines to paste. Sourced, never run.
# Uses KEY and MODEL, which ./run sets.

BASE=
TRANSPORT=()

# From what the gateway wrote to gateway.addr: set_address ADDRESS
set_address() {
  case $1 in
    unix:*)
      BASE=http://localhost
      TRANSPORT=(--unix-socket "${1#unix:}")
      ;;
    0.0.0.0:*) BASE="http://127.0.0.1:${1##*:}" ;;
    '[::]:'*) BASE="http://[::1]:${1##*:}" ;;
    *) BASE="http://$1" ;;
  esac
}

# request PATH [CURL OPTION…]
request() { curl -sS --noproxy '*' "${TRANSPORT[@]}" "$BASE$1" "${@:2}"; }

first_model() {
  request /v1/models --fail-with-body -H "Authorization: Bearer $KEY" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["data"][0]["id"])'
}

first_chat() {
  local question='Say hello, and name one thing a river does.' sent
  say "a streamed chat with $MODEL"
  printf '> %s\n' "$question" >&2
  sent=$(date +%s%N)
  request /v1/chat/completions --no-buffer --fail-with-body \
    -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' -d @- <<JSON |
{"model": "$MODEL", "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 60, "temperature": 0,
 "messages": [{"role": "user", "content": "$question"}]}
JSON
    python3 "$ROOT/scripts/show_stream.py" "$sent"
}

what_to_paste() {
  local socket=${TRANSPORT[*]}
  cat <<TEXT

Ready. Base URL: $BASE/v1
       API key:  $KEY   (also in $GATEWAY_DATA_DIR/admin.key)

curl -N ${socket:+$socket }$BASE/v1/chat/completions -H "Authorization: Bearer $KEY" \\
  -H 'Content-Type: application/json' -d '{"model": "$MODEL", "stream": true, "messages": [{"role": "user", "content": "Hello!"}]}'

TEXT
  if [ -z "$socket" ]; then
    cat <<TEXT
from openai import OpenAI
client = OpenAI(base_url="$BASE/v1", api_key="$KEY")
for chunk in client.chat.completions.create(model="$MODEL", messages=[{"role": "user", "content": "Hello!"}], stream=True):
    print(chunk.choices[0].delta.content or "", end="", flush=True)

TEXT
  fi
  printf 'Docs: %s/docs   Ctrl-C stops.\n' "$BASE"
}
