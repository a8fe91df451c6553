//! Chat completions in process: answers, streams, and each field that is refused.

mod fields;

use futures_util::{FutureExt, StreamExt};
use poem::http::StatusCode;
use serde_json::json;

use crate::api::harness::{Surface, chat, read};
use crate::engine::EngineError;
use crate::engine::scripted::{Gate, Script};

const PATH: &str = "/v1/chat/completions";

#[tokio::test]
async fn an_answer_has_openai_s_shape() {
    let surface = Surface::playing(Script::text(["Hel", "lo"]));
    let mut answer = surface.json(PATH, chat(json!({}))).await;
    assert!(answer["id"].take().as_str().is_some_and(|id| id.starts_with("chatcmpl-")));
    assert!(answer["created"].take().as_u64().is_some_and(|created| created > 1_700_000_000));
    assert!(answer["system_fingerprint"].take().as_str().is_some_and(|print| print.starts_with("fp_")));
    let expected = json!({
        "id": null, "object": "chat.completion", "created": null, "model": "m",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": "Hello", "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": {
            "prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        "system_fingerprint": null,
    });
    assert_eq!(answer, expected);
    assert_eq!(surface.outcomes(), [(200, "completed")]);
}

#[tokio::test]
async fn calls_reasoning_and_logprobs_are_folded_into_the_answer() {
    let script = Script::new().think("hm").call("call_1", "f", ["{}"]);
    let surface = Surface::playing(script);
    let answer = surface.json(PATH, chat(json!({"logprobs": true, "top_logprobs": 1}))).await;
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let message = json!({
        "role": "assistant", "content": null, "refusal": null, "reasoning_content": "hm",
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    });
    assert_eq!(choice["message"], message);
    let tokens = choice["logprobs"]["content"].as_array().expect("tokens");
    assert_eq!(tokens.len(), 3);
    assert_eq!(tokens[0]["bytes"], json!([104, 109]));
}

#[tokio::test]
async fn a_stream_has_the_headers_that_keep_proxies_from_collecting_it() {
    let surface = Surface::playing(Script::text(["a"]));
    let response = surface.post(PATH, chat(json!({"stream": true}))).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    assert_eq!(response.header("cache-control"), Some("no-cache"));
    assert_eq!(response.header("x-accel-buffering"), Some("no"));
    let body = response.into_body().into_string().await.expect("a body");
    assert!(body.starts_with("data: {\"id\":\"chatcmpl-") && body.ends_with("data: [DONE]\n\n"), "{body}");
}

#[tokio::test]
async fn a_client_that_leaves_its_stream_frees_the_engine_and_is_recorded_as_cancelled() {
    let surface = Surface::playing(Script::text(["a"]).gate(&Gate::closed()));
    let response = surface.post(PATH, chat(json!({"stream": true}))).await;
    let mut body = Box::pin(response.into_body().into_bytes_stream());
    assert!(body.next().await.is_some());
    assert_eq!((surface.engine.running(), surface.outcomes().len()), (1, 0));
    drop(body);
    assert_eq!((surface.engine.running(), surface.outcomes()), (0, vec![(200, "cancelled")]));
}

#[tokio::test]
async fn a_client_that_leaves_while_its_answer_is_folded_is_cancelled_too() {
    let surface = Surface::playing(Script::text(["a"]).gate(&Gate::closed()));
    assert!(surface.post(PATH, chat(json!({}))).now_or_never().is_none());
    assert_eq!((surface.engine.cancelled(), surface.outcomes()), (1, vec![(200, "cancelled")]));
}

#[tokio::test]
async fn a_refusal_before_the_first_byte_is_an_ordinary_http_error_even_of_a_stream() {
    let full = EngineError::QueueFull { retry_after: std::time::Duration::from_millis(1500) };
    let surface = Surface::playing(Script::refused(full));
    let response = surface.post(PATH, chat(json!({"stream": true}))).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.header("retry-after"), Some("2"));
    assert_eq!(read(response).await["error"]["type"], "overloaded_error");
    assert_eq!(surface.outcomes(), [(503, "failed")]);
}

#[tokio::test]
async fn a_model_that_is_not_served_is_404() {
    let surface = Surface::playing(Script::new());
    let (status, error) = surface.refusal(PATH, chat(json!({"model": "other"}))).await;
    assert_eq!((status, &error["code"]), (404, &json!("model_not_found")));
    assert_eq!(surface.outcomes(), [(404, "failed")]);
}

#[tokio::test]
async fn a_draining_gateway_takes_no_new_work() {
    let surface = Surface::playing(Script::text(["a"]));
    surface.lifecycle.drain();
    let (status, error) = surface.refusal(PATH, chat(json!({}))).await;
    assert_eq!((status, &error["code"]), (503, &json!("shutting_down")));
}

#[tokio::test]
async fn everything_that_is_asked_reaches_the_engine() {
    let surface = Surface::playing(Script::text(["a"]));
    let fields = json!({
        "temperature": 0.5, "top_p": 0.25, "top_k": 7, "min_p": 0.125, "repeat_penalty": 1.5,
        "frequency_penalty": -2, "presence_penalty": 2, "logit_bias": {"5": -100}, "seed": -1,
        "max_completion_tokens": 9, "stop": "x", "n": 2, "logprobs": true, "top_logprobs": 20,
        "response_format": {"type": "json_object"}, "parallel_tool_calls": false,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    });
    surface.json(PATH, chat(fields)).await;
    let asked = format!("{:?}", surface.engine.requests());
    for part in [
        "temperature: 0.5",
        "top_p: 0.25",
        "top_k: 7",
        "min_p: 0.125",
        "repeat_penalty: 1.5",
        "frequency_penalty: -2.0",
        "presence_penalty: 2.0",
        "logit_bias: [(5, -100.0)]",
        "seed: Some(18446744073709551615)",
        "max_tokens: Some(9)",
        "stop: [\"x\"]",
        "choices: 2",
        "logprobs: Some(20)",
        "format: JsonObject",
        "parallel_tool_calls: false",
        "tool_choice: Named",
    ] {
        assert!(asked.contains(part), "{part} is not in {asked}");
    }
}
