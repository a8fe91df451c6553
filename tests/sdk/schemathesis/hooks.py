"""Keeps the fuzzing caller alive, and leads two of three requests past what is refused by name to the model itself."""

import json
import os
import zlib

import schemathesis

# The run ends with its own key, subject and role: they alone are left out of what it changes.
OWN = {os.environ["FUZZER_NAME"], os.environ["FUZZER_KEY_ID"]}
MODEL = os.environ["FUZZER_MODEL"]

# Fields that are refused whatever they say, or beside others: a body that has one learns nothing else.
REFUSED = {
    "audio", "best_of", "container", "context_management", "conversation", "dimensions", "function_call", "functions",
    "inference_geo", "logit_bias", "logprobs", "max_completion_tokens", "mcp_servers", "modalities", "output_config",
    "reasoning_effort", "response_format", "service_tier", "speed", "stop", "stream_options", "suffix", "thinking",
    "tool_choice", "tools", "top_logprobs", "truncation", "verbosity", "web_search_options",
}  # fmt: skip


@schemathesis.hook
def before_load_schema(context, schema):
    # As OpenAI's document does, ours tells what is in an event's `data`; schemathesis holds the schema against the
    # event around it. What is inside is checked by the tests of streams.
    for path in schema["paths"].values():
        for operation in path.values():
            content = operation["responses"].get("200", {}).get("content", {})
            if "text/event-stream" in content:
                content["text/event-stream"]["schema"] = {"type": "object", "required": ["data"]}


@schemathesis.hook
def filter_case(context, case):
    named = set((case.path_parameters or {}).values())
    return not (case.method in {"PATCH", "DELETE"} and named & OWN)


@schemathesis.hook
def map_headers(context, headers):
    # A version that somebody read is not guessed: without this nothing would ever be changed.
    # Beside the key that is sent it would be one too many.
    if headers:
        headers.pop("x-api-key", None)
    if headers and zlib.crc32(str(headers.get("if-match")).encode()) % 3:
        headers["if-match"] = "*"
    return headers


@schemathesis.hook
def map_body(context, body):
    # By the body itself, so that the same seed sends the same requests.
    if not isinstance(body, dict) or zlib.crc32(json.dumps(body, sort_keys=True).encode()) % 3 == 0:
        return body
    body = {name: whole(value) for name, value in body.items() if name not in REFUSED}
    if isinstance(body.get("model"), str):
        body["model"] = MODEL
    if isinstance(body.get("max_tokens"), int):
        body["max_tokens"] = 1 + body["max_tokens"] % 4
    if isinstance(body.get("n"), int):
        body["n"] = 1 + body["n"] % 3
    if "messages" in body:
        body.pop("prompt", None)
        body["messages"] = [{"role": "user", "content": text(body["messages"])}]
    for field in {"prompt", "input"} & set(body):
        body[field] = text(body[field])
    return body


def text(value):
    """A short text of anything."""
    return json.dumps(value)[:40]


def whole(value):
    """JSON Schema takes 1.0 for an integer; Rust does not."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    return value
