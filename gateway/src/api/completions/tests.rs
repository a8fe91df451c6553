//! Text completions in process: answers, streams, and each field that is refused.

use serde_json::{Value, json};

use super::parse;
use crate::api::harness::{Surface, with};
use crate::engine::scripted::Script;

const PATH: &str = "/v1/completions";

fn text(fields: Value) -> Value {
    with(json!({"model": "m", "prompt": "ab"}), fields)
}

#[track_caller]
fn refused(param: &str, fields: Value) {
    let body = text(fields).to_string();
    let error = parse(body.as_bytes()).expect_err(&format!("{body} is accepted"));
    assert_eq!(error.envelope().error.param.as_deref(), Some(param), "{body}: {error}");
}

#[tokio::test]
async fn an_answer_has_openai_s_shape_and_sixteen_tokens_unless_more_are_asked_for() {
    let surface = Surface::playing(Script::tokens(20, None));
    let mut answer = surface.json(PATH, text(json!({}))).await;
    for field in ["id", "created", "system_fingerprint"] {
        assert!(!answer[field].take().is_null());
    }
    let expected = json!({
        "id": null, "object": "text_completion", "created": null, "model": "m", "system_fingerprint": null,
        "choices": [{"text": "word ".repeat(16), "index": 0, "logprobs": null, "finish_reason": "length"}],
        "usage": {
            "prompt_tokens": 2, "completion_tokens": 16, "total_tokens": 18,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    });
    assert_eq!(answer, expected);
    assert_eq!(surface.outcomes(), [(200, "completed")]);
}

#[tokio::test]
async fn each_form_of_prompt_is_echoed_as_its_text() {
    let prompts = [
        (json!("ab"), vec!["ab!"]),
        (json!(["ab", "c"]), vec!["ab!", "c!"]),
        (json!([97, 98]), vec!["ab!"]),
        (json!([[97], [98, 99]]), vec!["a!", "bc!"]),
    ];
    for (prompt, expected) in prompts {
        let surface = Surface::playing(Script::text(["!"]));
        let answer = surface.json(PATH, text(json!({"prompt": prompt, "echo": true}))).await;
        let choices = answer["choices"].as_array().expect("choices");
        let texts: Vec<_> =
            choices.iter().map(|choice| choice["text"].as_str().unwrap_or_default()).collect();
        assert_eq!(texts, expected);
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_usage_and_done() {
    let surface = Surface::playing(Script::text(["a"]));
    let asked = text(json!({"stream": true, "stream_options": {"include_usage": true}}));
    let body = surface.post(PATH, asked).await.into_body().into_string().await.expect("a body");
    let events: Vec<_> = body.split_terminator("\n\n").collect();
    assert_eq!(events.len(), 4, "{body}");
    assert!(events[2].contains(r#""choices":[],"usage":{"prompt_tokens":2"#), "{body}");
    assert_eq!(events[3], "data: [DONE]");
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_starts_none_of_them() {
    let surface = Surface::playing(Script::text(["a"]));
    let long = "x".repeat(70_000);
    let (status, error) = surface.refusal(PATH, text(json!({"prompt": ["a", long]}))).await;
    assert_eq!((status, &error["code"]), (400, &json!("context_length_exceeded")));
    assert_eq!((surface.engine.starts().len(), surface.outcomes()), (0, vec![(400, "failed")]));
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    refused("suffix", json!({"suffix": "end"}));
    refused("best_of", json!({"best_of": 2}));
    refused("best_of", json!({"best_of": 2, "n": 3}));
    refused("echo", json!({"echo": true, "logprobs": 0}));
    refused("logprobs", json!({"logprobs": 6}));
    refused("max_tokens", json!({"max_tokens": 0}));
    refused("prompt", json!({"prompt": []}));
    refused("prompt", json!({"prompt": [[]]}));
    refused("prompt", json!({"prompt": null}));
    refused("prompt", json!({"prompt": [1, "a"]}));
    refused("prompt", json!({"prompt": vec!["a"; 65], "n": 2}));
    refused("stream_options", json!({"stream_options": {"include_usage": true}}));
    refused("stop", json!({"stop": ""}));
    refused("temperature", json!({"temperature": 9}));
}

#[test]
fn what_is_the_default_is_accepted() {
    for fields in
        [json!({"suffix": ""}), json!({"best_of": 1}), json!({"best_of": 2, "n": 2}), json!({"logprobs": 0})]
    {
        assert!(parse(text(fields.clone()).to_string().as_bytes()).is_ok(), "{fields}");
    }
}
