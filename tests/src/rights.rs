//! Subjects with exactly the rights that a test wants, made by the gateway's admin.

use http::Method;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::http::Http;
use crate::process::Gateway;

/// Makes a role that nothing but a test would want.
pub async fn role(gateway: &Gateway, name: &str, policy: &Value) {
    gateway.http().post("/admin/v1/roles", &json!({"name": name, "policy": policy})).await.ok();
}

/// A client with a new key of a subject, which has this role.
pub async fn holder(gateway: &Gateway, subject: &str, role: &str) -> Http {
    key(gateway, subject, role).await.0
}

/// The same with the key's id.
pub async fn key(gateway: &Gateway, subject: &str, role: &str) -> (Http, String) {
    let made = gateway.http().post("/admin/v1/keys", &json!({"subject": subject, "role": role})).await.ok();
    (Http::new(gateway.address(), text(&made, "/secret")), text(&made, "/key/id").to_owned())
}

/// A client that holds these permissions and no others; the subject is called as the role.
pub async fn only(gateway: &Gateway, name: &str, permissions: &[&str]) -> Http {
    role(gateway, name, &json!({ "permissions": permissions })).await;
    holder(gateway, name, name).await
}

/// A token for a subject, with its `jti`.
pub async fn token(gateway: &Gateway, asked: &Value) -> (String, String) {
    let made = gateway.http().post("/admin/v1/tokens", asked).await.ok();
    (text(&made, "/token").to_owned(), text(&made, "/jti").to_owned())
}

/// A change of what is at `path`, whatever its version.
pub async fn patch(http: &Http, path: &str, change: &Value) -> Answer {
    let call = http.request(Method::PATCH, path).header("content-type", "application/json");
    call.header("if-match", "*").body(change.to_string()).send().await
}

/// Removes what is at `path`, whatever its version.
pub async fn delete(http: &Http, path: &str) -> Answer {
    http.request(Method::DELETE, path).header("if-match", "*").send().await
}

/// The text at a place of an answer.
pub fn text<'a>(answer: &'a Value, pointer: &str) -> &'a str {
    answer
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no text at {pointer} in {answer}"))
}

/// Everything that decides on access, as the admin reads it: what an attack must not change. The last uses of keys
/// are left out.
pub async fn state(gateway: &Gateway) -> Value {
    let mut all = json!({});
    for what in ["roles", "subjects", "keys"] {
        all[what] = gateway.http().get(&format!("/admin/v1/{what}")).await.ok();
    }
    let served = gateway.http().get("/admin/v1/models").await.ok();
    let routes = served["data"].as_array().expect("models").iter().map(|served| served["route"].clone());
    all["routes"] = routes.collect();
    for key in all["keys"]["data"].as_array_mut().expect("keys") {
        key["last_used"] = Value::Null;
    }
    all
}
