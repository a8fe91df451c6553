//! Models, embeddings and tokens, by what clients see.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{MODEL, Surface};

#[tokio::test]
async fn models_are_listed_as_openai_lists_them() {
    let list = Surface::new().get("/v1/models").await.ok();
    assert_eq!(list["object"], "list");
    assert_eq!(list["data"][0]["id"], MODEL);
    assert_eq!(list["data"][0]["object"], "model");
    assert!(list["data"][0]["created"].is_u64() && list["data"][0]["owned_by"].is_string(), "{list}");
}

#[tokio::test]
async fn a_model_with_a_slash_in_its_name_is_found_encoded() {
    let surface = Surface::new();
    assert_eq!(surface.get("/v1/models/org%2Fsmall").await.ok()["id"], MODEL);
    let error = surface.get("/v1/models/gpt-4o").await.error(404);
    assert_eq!(error["code"], "model_not_found");
}

#[tokio::test]
async fn vectors_come_in_the_order_of_the_inputs() {
    let surface = Surface::new();
    let both = json!({"model": MODEL, "input": ["one", "another"]});
    let answer = surface.post("/v1/embeddings", both.to_string()).await.ok();
    let alone = json!({"model": MODEL, "input": "another"});
    let alone = surface.post("/v1/embeddings", alone.to_string()).await.ok();
    assert_eq!(answer["object"], "list");
    assert_eq!(answer["data"][1]["index"], 1);
    assert_eq!(answer["data"][1]["object"], "embedding");
    assert_eq!(answer["data"][1]["embedding"], alone["data"][0]["embedding"]);
    assert_eq!(answer["usage"], json!({"prompt_tokens": 10, "total_tokens": 10}));
}

#[tokio::test]
async fn base64_holds_the_same_vector_as_little_endian_floats() {
    let surface = Surface::new();
    let ask = |format: &str| json!({"model": MODEL, "input": "text", "encoding_format": format}).to_string();
    let floats = surface.post("/v1/embeddings", ask("float")).await.ok();
    let encoded = surface.post("/v1/embeddings", ask("base64")).await.ok();
    let bytes = STANDARD.decode(encoded["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let decoded: Vec<f32> =
        bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    let expected: Vec<f32> = serde_json::from_value(floats["data"][0]["embedding"].clone()).unwrap();
    assert_eq!(decoded, expected);
}

#[tokio::test]
async fn tokens_may_be_embedded_too() {
    let surface = Surface::new();
    for input in [json!([104, 105]), json!([[104, 105], [1]])] {
        let body = json!({"model": MODEL, "input": input}).to_string();
        surface.post("/v1/embeddings", body).await.ok();
    }
}

#[tokio::test]
async fn inputs_that_cannot_be_embedded_are_refused() {
    let surface = Surface::new();
    let many = vec!["x"; 2049];
    for input in [json!(""), json!([]), json!(["a", ""]), json!([[]]), json!([1, "a"]), json!(many)] {
        let body = json!({"model": MODEL, "input": input}).to_string();
        let error = surface.post("/v1/embeddings", body).await.error(400);
        assert_eq!(error["param"], "input", "{error}");
    }
}

#[tokio::test]
async fn only_the_model_s_own_dimensions_are_given() {
    let surface = Surface::new();
    let ask = |dimensions: u32| json!({"model": MODEL, "input": "x", "dimensions": dimensions}).to_string();
    surface.post("/v1/embeddings", ask(8)).await.ok();
    let error = surface.post("/v1/embeddings", ask(4)).await.error(400);
    assert_eq!(error["param"], "dimensions");
    assert!(error["message"].as_str().unwrap().contains('8'), "{error}");
}

#[tokio::test]
async fn an_unknown_model_is_not_found_whatever_is_asked_of_it() {
    let surface = Surface::new();
    for (path, field, value) in [
        ("/v1/embeddings", "input", json!("x")),
        ("/v1/tokenize", "prompt", json!("x")),
        ("/v1/detokenize", "tokens", json!([1])),
    ] {
        let mut body = json!({"model": "gpt-4o"});
        body[field] = value;
        let error = surface.post(path, body.to_string()).await.error(404);
        assert_eq!((&error["code"], &error["param"]), (&json!("model_not_found"), &json!("model")));
    }
}

#[tokio::test]
async fn tokens_turn_back_into_their_text() {
    let surface = Surface::new();
    let body = json!({"prompt": "h\u{e9}!", "return_token_strs": true}).to_string();
    let tokens = surface.post("/v1/tokenize", body).await.ok();
    assert_eq!(tokens["model"], MODEL);
    assert_eq!(tokens["count"], 4);
    assert_eq!(tokens["token_strs"], json!(["h", "\u{fffd}", "\u{fffd}", "!"]));
    assert!(tokens["max_model_len"].is_u64());
    let body = json!({"tokens": tokens["tokens"]}).to_string();
    assert_eq!(surface.post("/v1/detokenize", body).await.ok()["prompt"], "h\u{e9}!");
}

#[tokio::test]
async fn a_chat_is_tokenized_as_its_template_renders_it() {
    let body = json!({"messages": [{"role": "user", "content": "hi"}]}).to_string();
    let answer = Surface::new().post("/v1/tokenize", body).await.ok();
    assert_eq!(answer["tokens"], json!([104, 105]));
    assert_eq!(answer.get("token_strs"), None::<&Value>);
}

#[tokio::test]
async fn either_a_text_or_a_chat_is_tokenized() {
    let surface = Surface::new();
    let messages = json!([{"role": "user", "content": "hi"}]);
    for (body, param) in [
        (json!({}), "prompt"),
        (json!({"prompt": "x", "messages": messages}), "messages"),
        (json!({"messages": []}), "messages"),
    ] {
        let error = surface.post("/v1/tokenize", body.to_string()).await.error(400);
        assert_eq!(error["param"], param, "{error}");
    }
}

#[tokio::test]
async fn predict_answers_a_prompt_in_one_piece() {
    let surface = Surface::new();
    let answer = surface.post("/v1/predict", json!({"prompt": "hi"}).to_string()).await.ok();
    assert_eq!(answer["result"], "Hello world");
    assert_eq!(answer["model"], MODEL);
    assert_eq!(answer["usage"]["prompt_tokens"], 2);
    let request = surface.engine.requests().pop().unwrap();
    assert_eq!(request.max_tokens, None);
    assert_eq!(surface.engine.starts().pop().unwrap().tenant.as_ref(), "admin");
}

#[tokio::test]
async fn predict_refuses_what_cannot_be_answered() {
    let surface = Surface::new();
    for (body, status, param) in [
        (json!({}), 400, "prompt"),
        (json!({"prompt": ""}), 400, "prompt"),
        (json!({"prompt": "x", "max_tokens": 0}), 400, "max_tokens"),
        (json!({"prompt": "x", "model": "gpt-4o"}), 404, "model"),
    ] {
        let error = surface.post("/v1/predict", body.to_string()).await.error(status);
        assert_eq!(error["param"], param, "{error}");
    }
}

#[tokio::test]
async fn an_engine_that_is_not_ready_is_overloaded_and_says_when_to_come_back() {
    let surface = Surface::new();
    surface.engine.set_ready(false);
    let answer = surface.post("/v1/predict", json!({"prompt": "x"}).to_string()).await;
    assert_eq!(answer.error(503)["type"], "overloaded_error");
    assert!(answer.response.header("retry-after").is_some());
}

#[tokio::test]
async fn a_gateway_that_drains_takes_no_new_work() {
    let surface = Surface::new();
    surface.lifecycle.drain();
    for (path, body) in [
        ("/v1/predict", json!({"prompt": "x"})),
        ("/v1/embeddings", json!({"model": MODEL, "input": "x"})),
        ("/v1/chat/completions", json!({"model": MODEL, "messages": [{"role": "user", "content": "x"}]})),
        ("/v1/completions", json!({"model": MODEL, "prompt": "x"})),
    ] {
        assert_eq!(
            surface.post(path, body.to_string()).await.error(503)["type"],
            "overloaded_error",
            "{path}"
        );
    }
}
