//! The contract's table of permissions, tried on every operation of the document with every kind of role.

use http::Method;
use serde_json::{Value, json};
use tests::http::Http;
use tests::{Answer, Gateway, rights};

use super::document::{Document, Operation};
use super::{PERMISSIONS, gateway};

/// Operations that need no credential.
const OPEN: [&str; 2] = ["healthz", "readyz"];

/// Which permission each operation asks for, as the contract says; `""` is any known caller.
const TABLE: [(&str, &str); 58] = [
    ("create_chat_completion", "chat"),
    ("create_message", "chat"),
    ("count_message_tokens", "chat"),
    ("create_response", "chat"),
    ("retrieve_response", "conversations"),
    ("delete_response", "conversations"),
    ("cancel_response", "conversations"),
    ("list_input_items", "conversations"),
    ("create_conversation", "conversations"),
    ("retrieve_conversation", "conversations"),
    ("update_conversation", "conversations"),
    ("delete_conversation", "conversations"),
    ("list_conversation_items", "conversations"),
    ("create_conversation_items", "conversations"),
    ("retrieve_conversation_item", "conversations"),
    ("delete_conversation_item", "conversations"),
    ("create_completion", "chat"),
    ("predict", "chat"),
    ("tokenize", "chat"),
    ("detokenize", "chat"),
    ("create_embeddings", "embeddings"),
    ("list_models", "models:read"),
    ("retrieve_model", "models:read"),
    ("list_roles", "roles:read"),
    ("retrieve_role", "roles:read"),
    ("create_role", "roles:manage"),
    ("update_role", "roles:manage"),
    ("delete_role", "roles:manage"),
    ("list_subjects", "roles:read"),
    ("retrieve_subject", "roles:read"),
    ("list_subject_data", "usage:read"),
    ("delete_subject_data", "roles:manage"),
    ("create_subject", "roles:manage"),
    ("update_subject", "roles:manage"),
    ("delete_subject", "roles:manage"),
    ("list_keys", "keys:manage"),
    ("retrieve_key", "keys:manage"),
    ("create_key", "keys:manage"),
    ("revoke_key", "keys:manage"),
    ("create_token", "keys:manage"),
    ("revoke_token", "keys:manage"),
    ("inspect_token", "keys:manage"),
    ("rotate_signing_key", "keys:manage"),
    ("read_metrics", "metrics:read"),
    ("retrieve_log_filter", "metrics:read"),
    ("update_log_filter", "roles:manage"),
    ("list_served_models", "models:manage"),
    ("retrieve_served_model", "models:manage"),
    ("put_route", "models:manage"),
    ("delete_route", "models:manage"),
    ("load_model", "models:manage"),
    ("unload_model", "models:manage"),
    ("pin_model", "models:manage"),
    ("unpin_model", "models:manage"),
    ("list_usage", ""),
    ("list_audit", "usage:read"),
    ("explain_access", "roles:read"),
    ("whoami", ""),
];

/// The built-in roles with what the contract gives them.
const BUILT_IN: [(&str, &[&str]); 4] = [
    ("admin", &PERMISSIONS),
    ("operator", &["models:read", "models:manage", "usage:read"]),
    ("user", &["chat", "embeddings", "models:read", "conversations"]),
    ("viewer", &["models:read", "usage:read"]),
];

/// The permission that an operation asks for; a new operation must be put into the table.
fn needed(operation: &Operation) -> &'static str {
    let found = TABLE.iter().find(|(id, _)| *id == operation.id);
    found.unwrap_or_else(|| panic!("{} is not in the table of permissions", operation.id)).1
}

/// A thing for an operation to work on that nobody misses: its path, and a body that grants nothing.
async fn prepare(
    gateway: &Gateway,
    maker: &Http,
    operation: &Operation,
    spare: &str,
) -> (String, Option<Value>) {
    let model = gateway.model();
    let admin = gateway.http();
    let path = match operation.path.as_str() {
        "/v1/models/{model}" => format!("/v1/models/{model}"),
        "/admin/v1/roles/{name}" => {
            rights::role(gateway, spare, &json!({})).await;
            format!("/admin/v1/roles/{spare}")
        }
        "/admin/v1/subjects/{id}" | "/admin/v1/subjects/{id}/data" => {
            admin.post("/admin/v1/subjects", &json!({"id": spare})).await.ok();
            operation.path.replace("{id}", spare)
        }
        "/admin/v1/models/{name}" => {
            let path = format!("/admin/v1/models/{spare}");
            let route = json!({"targets": [{"model": model}]}).to_string();
            let call = admin.request(Method::PUT, &path).header("content-type", "application/json");
            call.body(route).send().await.ok();
            path
        }
        // A response that is told in the background may use it still.
        path if path.starts_with("/admin/v1/models/{name}/") => {
            format!("{path}?wait=true").replace("{name}", model)
        }
        "/admin/v1/keys/{id}" => {
            admin.post("/admin/v1/subjects", &json!({"id": spare})).await.ok();
            let key = admin.post("/admin/v1/keys", &json!({"subject": spare})).await.ok();
            format!("/admin/v1/keys/{}", rights::text(&key, "/key/id"))
        }
        "/admin/v1/tokens/{jti}" => format!("/admin/v1/tokens/{spare}"),
        path if path.starts_with("/v1/conversations/{id}") || path.starts_with("/v1/responses/{id}") => {
            stored(gateway, maker, path).await
        }
        path => path.to_owned(),
    };
    (path, body(&operation.id, model, spare))
}

/// What stands for a response where nobody could make one.
const NO_RESPONSE: &str = "resp_none";

/// A conversation with an item, or a response, of whoever makes it: others do not find it.
async fn stored(gateway: &Gateway, maker: &Http, path: &str) -> String {
    if path.starts_with("/v1/responses") {
        let request =
            json!({"model": gateway.model(), "input": "Hi", "max_output_tokens": 16, "background": true});
        let made = maker.post("/v1/responses", &request).await;
        let id = if made.status == 200 {
            rights::text(&made.ok(), "/id").to_owned()
        } else {
            NO_RESPONSE.to_owned()
        };
        return path.replace("{id}", &id);
    }
    let items = json!({"items": [{"role": "user", "content": "Hi"}]});
    let made = maker.post("/v1/conversations", &items).await.ok();
    let made = rights::text(&made, "/id");
    let listed = maker.get(&format!("/v1/conversations/{made}/items")).await.ok();
    path.replace("{id}", made).replace("{item}", rights::text(&listed, "/data/0/id"))
}

fn body(operation: &str, model: &str, spare: &str) -> Option<Value> {
    Some(match operation {
        "create_chat_completion" | "create_message" => {
            json!({"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1})
        }
        "count_message_tokens" => json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]}),
        "create_completion" => json!({"model": model, "prompt": "Hi", "max_tokens": 1}),
        "create_response" => json!({"model": model, "input": "Hi", "max_output_tokens": 1}),
        "update_conversation" => json!({"metadata": {}}),
        "create_conversation" | "create_conversation_items" => json!({"items": []}),
        "create_embeddings" => json!({"model": model, "input": "Hi"}),
        "predict" => json!({"prompt": "Hi", "max_tokens": 1}),
        "tokenize" => json!({"prompt": "Hi"}),
        "detokenize" => json!({"tokens": [1]}),
        "put_route" => json!({"targets": [{"model": model}]}),
        "create_role" => json!({"name": spare}),
        "create_subject" => json!({"id": spare}),
        // Whoever manages only keys makes no subject, but gives one that has nothing a key.
        "create_key" => json!({"subject": "nobody"}),
        "create_token" => json!({"subject": spare}),
        "inspect_token" => json!({"token": "eyJ"}),
        "update_role" | "update_subject" | "rotate_signing_key" => json!({}),
        "update_log_filter" => json!({"filter": "info"}),
        "explain_access" => json!({"subject": spare, "permission": "chat"}),
        _ => return None,
    })
}

async fn call(caller: &Http, operation: &Operation, path: &str, body: Option<&Value>) -> Answer {
    let call = caller.request(operation.method.clone(), path).header("if-match", "*");
    match body {
        Some(body) => call.header("content-type", "application/json").body(body.to_string()).send().await,
        None => call.send().await,
    }
}

/// Calls every operation that needs a credential: what the permissions name is done, nothing else is, and every
/// answer is as documented.
async fn walk(gateway: &Gateway, caller: &Http, name: &str, held: &[&str]) {
    let document = Document::of(gateway).await;
    let operations: Vec<_> =
        document.operations().into_iter().filter(|operation| !OPEN.contains(&&*operation.id)).collect();
    assert_eq!(operations.len(), TABLE.len(), "the table names what the document does not");
    let (allowed, refused): (Vec<_>, Vec<_>) =
        operations.iter().partition(|operation| [&[""], held].concat().contains(&needed(operation)));
    let mut prepared = Vec::new();
    for operation in refused {
        prepared.push((
            operation,
            prepare(gateway, gateway.http(), operation, &format!("{name}.{}", operation.id)).await,
        ));
    }
    let before = rights::state(gateway).await;
    for (operation, (path, body)) in prepared {
        let answer = call(caller, operation, &path, body.as_ref()).await;
        assert_eq!(answer.status, 403, "{name} may {}: {}", operation.id, answer.text());
        assert_eq!(answer.refused(403, "permission_error")["code"], "permission_denied", "{}", operation.id);
        document.assert_documents(operation, &answer);
    }
    assert_eq!(rights::state(gateway).await, before, "what was refused to {name} was done");
    for operation in allowed {
        let (path, body) = prepare(gateway, caller, operation, &format!("{name}.{}", operation.id)).await;
        let answer = call(caller, operation, &path, body.as_ref()).await;
        let expected = if path.contains(NO_RESPONSE) { 404 } else { 200 };
        assert_eq!(answer.status, expected, "{name} may not {}: {}", operation.id, answer.text());
        document.assert_documents(operation, &answer);
    }
}

async fn with_nobody() -> Gateway {
    let gateway = gateway().await;
    gateway.http().post("/admin/v1/subjects", &json!({"id": "nobody"})).await.ok();
    gateway
}

#[tokio::test]
async fn a_built_in_role_may_do_what_the_contract_gives_it() {
    let gateway = with_nobody().await;
    for (role, held) in BUILT_IN {
        let caller = rights::holder(&gateway, &format!("a-{role}"), role).await;
        walk(&gateway, &caller, role, held).await;
    }
}

#[tokio::test]
async fn one_permission_opens_its_own_operations_and_no_others() {
    let gateway = with_nobody().await;
    for permission in PERMISSIONS {
        let name = permission.replace(':', "-");
        let caller = rights::only(&gateway, &name, &[permission]).await;
        walk(&gateway, &caller, &name, &[permission]).await;
    }
}

#[tokio::test]
async fn a_known_caller_without_a_role_may_do_nothing() {
    let gateway = with_nobody().await;
    let (token, _) = rights::token(&gateway, &json!({"subject": "stranger"})).await;
    walk(&gateway, &Http::new(gateway.address(), &token), "stranger", &[]).await;
}

#[tokio::test]
async fn a_role_that_was_taken_from_its_holder_counts_at_once() {
    let gateway = with_nobody().await;
    let caller = rights::holder(&gateway, "alice", "admin").await;
    rights::patch(gateway.http(), "/admin/v1/subjects/alice", &json!({"role": "viewer"})).await.ok();
    walk(&gateway, &caller, "viewer", BUILT_IN[3].1).await;
}
