//! Tokens as a client gets, uses and loses them, and the attacks that every verifier is tried with.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};
use tests::Gateway;
use tests::http::Http;

/// A token of ours for a subject, with its `jti`.
async fn token(gateway: &Gateway, asked: &Value) -> (String, String) {
    let made = gateway.http().post("/admin/v1/tokens", asked).await.ok();
    let text = |field: &str| made[field].as_str().expect("a text").to_owned();
    (text("token"), text("jti"))
}

fn client(gateway: &Gateway, token: &str) -> Http {
    Http::new(gateway.address(), token)
}

#[tokio::test]
async fn a_token_works_until_it_is_revoked_and_survives_a_restart() {
    let mut gateway = Gateway::builder().parallel(1).context(512).start().await;
    let (alice, jti) = token(&gateway, &json!({"subject": "alice", "role": "user"})).await;
    client(&gateway, &alice).chat(&gateway.ask("Hi")).await;
    let who = client(&gateway, &alice).get("/admin/v1/whoami").await.ok();
    assert_eq!((&who["subject"], &who["role"]), (&json!("alice"), &json!("user")));
    gateway.terminate();
    assert_eq!(gateway.exited().await, Some(0));

    let gateway = Gateway::builder().parallel(1).context(512).after(&gateway).start().await;
    client(&gateway, &alice).get("/v1/models").await.ok();
    let path = format!("/admin/v1/tokens/{jti}");
    assert_eq!(gateway.http().request(Method::DELETE, &path).send().await.status, 200);
    client(&gateway, &alice).get("/v1/models").await.refused(401, "authentication_error");
}

#[tokio::test]
async fn forged_tokens_are_refused_alike() {
    let gateway = Gateway::builder().parallel(1).context(512).start().await;
    let (good, _) = token(&gateway, &json!({"subject": "alice", "role": "viewer"})).await;
    let parts: Vec<&str> = good.split('.').collect();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).expect("base64")).expect("JSON");
    claims["role"] = "admin".into();
    let none = part(&json!({"alg": "none", "typ": "JWT"}));
    let forged = [
        format!("{}.{}.{}", parts[0], part(&claims), parts[2]),
        format!("{none}.{}.", part(&claims)),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        good[..good.len() - 2].to_owned(),
        format!("{good}{}", "A".repeat(10_000)),
    ];
    for token in forged {
        client(&gateway, &token).get("/v1/models").await.refused(401, "authentication_error");
    }
    client(&gateway, &good).get("/v1/models").await.ok();
}

#[tokio::test]
async fn a_subjects_record_wins_over_the_role_that_its_token_claims() {
    let gateway = Gateway::builder().parallel(1).context(512).start().await;
    let (alice, _) = token(&gateway, &json!({"subject": "alice", "role": "user"})).await;
    gateway.http().post("/admin/v1/subjects", &json!({"id": "alice", "role": "viewer"})).await.ok();
    let ask = gateway.ask("Hi");
    client(&gateway, &alice).post("/v1/chat/completions", &ask).await.refused(403, "permission_error");
    let nobody = token(&gateway, &json!({"subject": "nobody"})).await.0;
    client(&gateway, &nobody).get("/v1/models").await.refused(403, "permission_error");
}

#[tokio::test]
async fn the_public_keys_are_served_and_hold_no_secret() {
    let gateway = Gateway::builder().parallel(1).context(512).start().await;
    let keys = gateway.http().get("/.well-known/jwks.json").await.ok();
    let key = &keys["keys"][0];
    assert_eq!((&key["kty"], &key["alg"]), (&json!("OKP"), &json!("EdDSA")));
    assert!(key["kid"].is_string() && key.get("d").is_none(), "{key}");
}
