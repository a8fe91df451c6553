//! Every operation of the document under every kind of caller and nonsense: never open, never broken, as documented.

use http::Method;
use serde_json::{Value, json};
use tests::http::{Call, Http};
use tests::rights;

use super::document::{Document, Operation};
use super::{Refusal, gateway};

/// What may be asked without a credential.
const OPEN: [&str; 2] = ["healthz", "readyz"];

/// Names that no thing has, and that no router or store should trip over.
const NAMES: [&str; 8] =
    ["nothing", "%00", "..%2f..%2fetc%2fpasswd", "%ff", "%F0%9F%92%A5", "a%20b", "%7Bname%7D", "'%22;--"];

/// Bodies that are JSON, and nothing that was asked for.
fn nonsense() -> Vec<Value> {
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let wrong = |value: Value| {
        json!({"model": value, "messages": value, "prompt": value, "input": value, "tokens": value, "name": value,
            "id": value, "subject": value, "policy": value, "role": value, "permission": value})
    };
    vec![
        json!({}),
        json!(null),
        json!([]),
        wrong(json!(null)),
        wrong(json!(-1)),
        wrong(json!("\u{0}")),
        wrong(json!([{}])),
        wrong(json!({"permissions": ["root"]})),
        wrong(deep),
        json!({"subject": "x", "expires_in": u64::MAX, "permission": "chat"}),
        json!({"name": "x".repeat(100_000), "id": "x".repeat(100_000)}),
    ]
}

fn filled(operation: &Operation, name: &str) -> String {
    ["{model}", "{name}", "{id}", "{jti}"]
        .iter()
        .fold(operation.path.clone(), |path, part| path.replace(part, name))
}

fn with_body(call: Call, body: &Value) -> Call {
    call.header("content-type", "application/json").header("if-match", "*").body(body.to_string())
}

#[tokio::test]
async fn no_operation_is_open_but_health() {
    let gateway = gateway().await;
    let refusal = Refusal::of(&gateway).await;
    let document = Document::of(&gateway).await;
    for operation in document.operations() {
        let path = filled(&operation, "nothing");
        let anonymous = gateway.http().anonymous(operation.method.clone(), &path);
        let answer = with_body(anonymous, &json!({})).send().await;
        document.assert_documents(&operation, &answer);
        if OPEN.contains(&&*operation.id) {
            answer.ok();
            continue;
        }
        answer.refused(401, "authentication_error");
        let wrong = Http::new(gateway.address(), "sk-wrong").request(operation.method.clone(), &path);
        let answer = with_body(wrong, &json!({})).send().await;
        assert_eq!(answer.refused(401, "authentication_error"), refusal.0, "{}", operation.id);
    }
}

#[tokio::test]
async fn the_documents_and_the_public_keys_are_open_and_hold_no_secret() {
    let gateway = gateway().await;
    for path in ["/openapi.json", "/docs", "/.well-known/jwks.json"] {
        let answer = gateway.http().anonymous(Method::GET, path).send().await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.text().contains(gateway.http().key()), "{path}");
        assert!(!answer.text().contains(&*gateway.data().to_string_lossy()), "{path}");
    }
}

#[tokio::test]
async fn nonsense_breaks_no_operation_for_any_role() {
    let gateway = gateway().await;
    let document = Document::of(&gateway).await;
    for role in ["viewer", "operator", "user", "admin"] {
        let caller = rights::holder(&gateway, &format!("a-{role}"), role).await;
        for operation in document.operations().iter().filter(|operation| operation.method != Method::GET) {
            for body in nonsense() {
                let call = caller.request(operation.method.clone(), &filled(operation, "nothing"));
                let answer = with_body(call, &body).send().await;
                document.assert_documents(operation, &answer);
            }
        }
    }
}

#[tokio::test]
async fn strange_names_break_no_operation_for_any_role() {
    let gateway = gateway().await;
    let document = Document::of(&gateway).await;
    for role in ["user", "admin"] {
        let caller = rights::holder(&gateway, &format!("a-{role}"), role).await;
        for operation in document.operations().iter().filter(|operation| operation.path.contains('{')) {
            for name in NAMES.map(str::to_owned).into_iter().chain(["x".repeat(5000)]) {
                let call = caller.request(operation.method.clone(), &filled(operation, &name));
                let answer = with_body(call, &json!({})).send().await;
                document.assert_documents(operation, &answer);
            }
        }
    }
}

#[tokio::test]
async fn strange_queries_break_no_list() {
    let gateway = gateway().await;
    let document = Document::of(&gateway).await;
    let values =
        ["0", "1", "1000", "1001", "-1", "4294967296", "18446744073709551616", "x", "", "%00", "1.5", "%ff"];
    for operation in document.operations().iter().filter(|operation| operation.id.starts_with("list_")) {
        for (name, value) in
            ["limit", "after", "before"].iter().flat_map(|name| values.map(|value| (name, value)))
        {
            let answer = gateway.http().get(&format!("{}?{name}={value}", operation.path)).await;
            document.assert_documents(operation, &answer);
        }
    }
}
