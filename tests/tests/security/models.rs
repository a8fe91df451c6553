//! A model that a role does not name is refused alike on every operation, whether there is such a model or not.

use http::Method;
use serde_json::{Value, json};
use tests::http::Http;
use tests::{Answer, Gateway, rights};

use super::gateway;

/// Asks every operation that takes a model for this one.
async fn ask_all(gateway: &Gateway, caller: &Http, model: &str) -> Vec<(&'static str, Answer)> {
    let chat = json!([{"role": "user", "content": "Hi"}]);
    let mut answers = Vec::new();
    for (path, body) in [
        ("/v1/chat/completions", json!({"messages": chat, "max_tokens": 1})),
        ("/v1/chat/completions", json!({"messages": chat, "max_tokens": 1, "stream": true})),
        ("/v1/completions", json!({"prompt": "Hi", "max_tokens": 1})),
        ("/v1/embeddings", json!({"input": "Hi"})),
        ("/v1/tokenize", json!({"prompt": "Hi"})),
        ("/v1/detokenize", json!({"tokens": [1]})),
        ("/v1/predict", json!({"prompt": "Hi", "max_tokens": 1})),
    ] {
        let mut body: Value = body;
        body["model"] = model.into();
        answers.push((path, caller.post(path, &body).await));
    }
    let path = format!("/v1/models/{model}");
    answers.push(("/v1/models/{model}", caller.request(Method::GET, &path).send().await));
    assert_ne!(gateway.model(), "missing");
    answers
}

/// Panics unless every operation refuses both models with the same words.
async fn assert_refused_alike(gateway: &Gateway, caller: &Http, code: &str) {
    let existing = ask_all(gateway, caller, gateway.model()).await;
    let missing = ask_all(gateway, caller, "missing").await;
    for ((path, existing), (_, missing)) in existing.into_iter().zip(missing) {
        let error = existing.refused(403, "permission_error");
        assert_eq!(missing.status, 403, "{path} tells that there is no such model: {}", missing.text());
        assert_eq!(error, missing.refused(403, "permission_error"), "{path}");
        assert_eq!(error["code"], code, "{path}");
    }
}

#[tokio::test]
async fn a_model_that_the_role_does_not_name_is_refused_whether_or_not_it_exists() {
    let gateway = gateway().await;
    let permissions = ["chat", "embeddings", "models:read"];
    for (role, models) in [("none", json!([])), ("others", json!(["other-*", "x"]))] {
        rights::role(&gateway, role, &json!({"permissions": permissions, "models": models})).await;
        let caller = rights::holder(&gateway, role, role).await;
        assert_refused_alike(&gateway, &caller, "model_not_permitted").await;
        assert_eq!(
            caller.get("/v1/models").await.ok()["data"],
            json!([]),
            "what may not be used is not listed"
        );
    }
}

#[tokio::test]
async fn a_caller_without_the_permission_learns_of_no_model() {
    let gateway = gateway().await;
    let nobody = rights::only(&gateway, "nobody", &[]).await;
    assert_refused_alike(&gateway, &nobody, "permission_denied").await;
}

#[tokio::test]
async fn no_spelling_of_a_models_name_gets_around_the_role() {
    let gateway = gateway().await;
    let policy = json!({"permissions": ["chat", "embeddings", "models:read"], "models": ["other"]});
    rights::role(&gateway, "others", &policy).await;
    let caller = rights::holder(&gateway, "alice", "others").await;
    let model = gateway.model().to_owned();
    for spelling in
        [model.to_uppercase(), format!("{model} "), format!("other,{model}"), format!("./{model}")]
    {
        let body = json!({"model": spelling, "prompt": "Hi", "max_tokens": 1});
        caller.post("/v1/completions", &body).await.refused(403, "permission_error");
    }
    // Of a field that is there twice the last one counts, for the check as for the engine.
    let twice = format!(r#"{{"model": "other", "model": "{model}", "prompt": "Hi", "max_tokens": 1}}"#);
    caller.post_bytes("/v1/completions", twice).await.refused(403, "permission_error");
    // Where no model is named it is the first one, which is not the caller's.
    for (path, body) in [("/v1/predict", json!({"prompt": "Hi"})), ("/v1/tokenize", json!({"prompt": "Hi"}))]
    {
        caller.post(path, &body).await.refused(403, "permission_error");
    }
}
