//! The Messages API in process: answers, streams, failures in its envelope, and what is counted.

mod fields;
mod prompts;

use futures_util::StreamExt;
use poem::http::StatusCode;
use serde_json::{Value, json};

use crate::api::harness::{Surface, read, with};
use crate::engine::EngineError;
use crate::engine::scripted::{Gate, Script};

const PATH: &str = "/v1/messages";
const COUNT: &str = "/v1/messages/count_tokens";

/// The smallest request with fields put in.
fn ask(fields: Value) -> Value {
    with(json!({"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": "hi"}]}), fields)
}

#[tokio::test]
async fn an_answer_has_anthropic_s_shape() {
    let surface = Surface::playing(Script::text(["Hel", "lo"]).usage(1, std::time::Duration::ZERO));
    let response = surface.post(PATH, ask(json!({}))).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.header("request-id"), response.header("x-request-id"));
    let mut answer = read(response).await;
    assert!(answer["id"].take().as_str().is_some_and(|id| id.starts_with("msg_")));
    let expected = json!({
        "id": null, "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {
            "input_tokens": 1, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 1, "output_tokens": 2,
            "output_tokens_details": {"thinking_tokens": 0},
        },
    });
    assert_eq!(answer, expected);
    let records = surface.ledger.0.lock();
    assert_eq!(
        (records[0].route, records[0].outcome.as_str(), records[0].stream),
        ("create_message", "completed", false)
    );
}

#[tokio::test]
async fn a_stream_begins_with_the_message_and_ends_with_its_stop() {
    let surface = Surface::playing(Script::text(["a"]));
    let response = surface.post(PATH, ask(json!({"stream": true}))).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    assert!(response.header("request-id").is_some());
    let body = response.into_body().into_string().await.expect("a body");
    assert!(body.starts_with("event: message_start\ndata: {\"type\":\"message_start\""), "{body}");
    assert!(body.contains(r#""input_tokens":2"#), "the prompt is counted before it is answered: {body}");
    assert!(body.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"), "{body}");
    assert!(surface.ledger.0.lock()[0].stream);
}

#[tokio::test]
async fn a_client_that_leaves_its_stream_frees_the_engine_and_is_recorded_as_cancelled() {
    let surface = Surface::playing(Script::text(["a"]).gate(&Gate::closed()));
    let response = surface.post(PATH, ask(json!({"stream": true}))).await;
    let mut body = Box::pin(response.into_body().into_bytes_stream());
    assert!(body.next().await.is_some());
    assert_eq!((surface.engine.running(), surface.outcomes().len()), (1, 0));
    drop(body);
    assert_eq!((surface.engine.running(), surface.outcomes()), (0, vec![(200, "cancelled")]));
}

#[tokio::test]
async fn failures_have_anthropic_s_envelope_and_types() {
    let full = EngineError::QueueFull { retry_after: std::time::Duration::from_millis(1500) };
    let broken = EngineError::Failed("at /secret".to_owned());
    let window = EngineError::ContextLength { prompt: 9, output: Some(64), window: 10 };
    let cases = [
        (Script::new(), json!({"model": "other"}), 404, "not_found_error", "model_not_found"),
        (Script::new(), json!({"temperature": 2}), 400, "invalid_request_error", "decimal_above_max_value"),
        (Script::refused(full), json!({"stream": true}), 503, "overloaded_error", "queue_full"),
        (Script::refused(window), json!({}), 400, "invalid_request_error", "context_length_exceeded"),
        (Script::text(["a"]).fail(broken), json!({}), 500, "api_error", "engine_failed"),
    ];
    for (script, fields, status, kind, code) in cases {
        let surface = Surface::playing(script);
        let response = surface.post(PATH, ask(fields)).await;
        assert_eq!(response.status().as_u16(), status, "{code}");
        assert_eq!(response.header("retry-after").is_some(), status == 503, "{code}");
        let id = response.header("request-id").map(str::to_owned);
        let body = read(response).await;
        assert_eq!(body["type"], "error");
        assert_eq!(
            (&body["error"]["type"], &body["error"]["details"]["error_code"]),
            (&kind.into(), &code.into())
        );
        assert_eq!(body["request_id"].as_str(), id.as_deref());
        assert!(!body.to_string().contains("secret"));
        assert_eq!(surface.outcomes().len(), 1, "{code} is recorded once");
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_in_the_envelope_too() {
    let surface = Surface::playing(Script::new());
    for body in [json!([]), json!({}), json!({"model": "m", "messages": 3, "max_tokens": 1}), json!("x")] {
        for path in [PATH, COUNT] {
            let (status, error) = surface.refusal(path, body.clone()).await;
            assert_eq!((status, &error["type"]), (400, &"invalid_request_error".into()), "{path} {body}");
        }
    }
}

#[tokio::test]
async fn what_is_counted_is_what_an_answer_has_in_its_prompt() {
    let surface = Surface::playing(Script::text(["a"]));
    let prompt = json!({
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}],
    });
    let counted = surface.json(COUNT, with(json!({"model": "m"}), prompt.clone())).await;
    let answer = surface.json(PATH, ask(prompt)).await;
    assert_eq!(counted, json!({"input_tokens": answer["usage"]["input_tokens"]}));
    assert_eq!(counted["input_tokens"], "Be brief.onetwo".len());
    assert_eq!(surface.outcomes().len(), 1, "what is only counted is no request of a model");
}

#[tokio::test]
async fn what_is_counted_may_be_longer_than_the_window() {
    let surface = Surface::playing(Script::new());
    let long = "x".repeat(70_000);
    let body = json!({"model": "m", "messages": [{"role": "user", "content": long}]});
    assert_eq!(surface.json(COUNT, body).await["input_tokens"], 70_000);
}

#[tokio::test]
async fn everything_that_is_asked_reaches_the_engine() {
    let surface = Surface::playing(Script::text(["a"]));
    let fields = json!({
        "temperature": 0.5, "top_p": 0.25, "top_k": 7, "max_tokens": 9, "stop_sequences": ["x", "y", "z", "1", "2"],
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        "tools": [{"name": "f", "description": "d", "strict": true, "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": true},
    });
    surface.json(PATH, ask(fields)).await;
    let asked = format!("{:?}", surface.engine.requests());
    for part in [
        "temperature: 0.5",
        "top_p: 0.25",
        "top_k: 7",
        "max_tokens: Some(9)",
        "stop: [\"x\", \"y\", \"z\", \"1\", \"2\"]",
        "choices: 1",
        "format: JsonSchema",
        "parallel_tool_calls: false",
        "tool_choice: Named",
        "description: Some(\"d\")",
        "strict: Some(true)",
    ] {
        assert!(asked.contains(part), "{part} is not in {asked}");
    }
}
