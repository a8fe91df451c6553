//! Access as an operator and a client live it: keys by the command line, roles by the API, revocation felt at once.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;

use http::Method;
use serde_json::{Value, json};
use tests::http::Http;
use tests::{Frame, Gateway, builder, model};

const CHAT: &str = "/v1/chat/completions";

/// Runs `gateway key …` on a data folder; its standard output.
fn key(data: &Path, arguments: &[&str]) -> String {
    let mut command = builder::command();
    let output = command.arg("key").args(arguments).arg("--data-dir").arg(data).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn client(gateway: &Gateway, secret: &str) -> Http {
    Http::new(gateway.address(), secret)
}

async fn patch(http: &Http, path: &str, etag: &str, body: &Value) -> u16 {
    let call = http.request(Method::PATCH, path).header("content-type", "application/json");
    call.header("if-match", etag).body(body.to_string()).send().await.status
}

#[tokio::test]
async fn a_key_made_by_the_command_line_works_until_it_is_revoked() {
    let gateway = Gateway::builder().parallel(1).context(512).start().await;
    let secret = key(gateway.data(), &["create", "--subject", "alice", "--role", "user"]);
    let alice = client(&gateway, &secret);
    alice.chat(&gateway.ask("Hi")).await;
    assert_eq!(alice.get("/admin/v1/keys").await.status, 403);
    let list = key(gateway.data(), &["list"]);
    let line = list.lines().find(|line| line.contains("alice")).expect("the key is listed");
    assert!(!list.contains(&secret), "a list shows no secret");
    key(gateway.data(), &["revoke", line.split_whitespace().next().expect("an id")]);
    alice.get("/v1/models").await.refused(401, "authentication_error");
}

#[tokio::test]
async fn keys_can_be_made_before_the_first_start() {
    let first = Gateway::builder().parallel(1).context(512).start().await;
    let data = tempfile::TempDir::new().expect("a temporary folder can be made");
    let secret = key(data.path(), &["create", "--subject", "bob", "--role", "viewer"]);
    assert!(secret.starts_with("sk-"), "{secret}");
    assert!(key(data.path(), &["list"]).contains("bob"));
    client(&first, &secret).get("/v1/models").await.refused(401, "authentication_error");
}

#[tokio::test]
async fn disabling_a_subject_ends_its_streams_and_no_others() {
    let gateway = Gateway::builder().parallel(2).context(2048).start().await;
    let secret = key(gateway.data(), &["create", "--subject", "alice", "--role", "user"]);
    let endless = gateway.endless("Count for ever.", 1500);
    let mut alice = client(&gateway, &secret).stream(CHAT, &endless).await;
    let mut admin = gateway.http().stream(CHAT, &endless).await;
    alice.chunk().await;
    admin.chunk().await;
    let disabled = json!({"disabled": true});
    assert_eq!(patch(gateway.http(), "/admin/v1/subjects/alice", "*", &disabled).await, 200);
    let end = loop {
        match alice.next().await.expect("the stream ends with an error event, not by a cut") {
            Frame::Data(data) if data.get("error").is_some() => break data,
            _ => {}
        }
    };
    assert_eq!(end["error"]["code"], "credential_revoked");
    admin.chunk().await;
    client(&gateway, &secret).get("/v1/models").await.refused(401, "authentication_error");
}

#[tokio::test]
async fn a_changed_role_is_felt_by_the_next_request_and_survives_a_restart() {
    let mut gateway = Gateway::builder().parallel(1).context(512).start().await;
    let secret = key(gateway.data(), &["create", "--subject", "alice", "--role", "user"]);
    let read = gateway.http().get("/admin/v1/roles/user").await;
    let change = json!({"policy": {"permissions": ["models:read"]}});
    assert_eq!(patch(gateway.http(), "/admin/v1/roles/user", read.header("etag"), &change).await, 200);
    assert_eq!(patch(gateway.http(), "/admin/v1/roles/user", read.header("etag"), &change).await, 412);
    let ask = gateway.ask("Hi");
    client(&gateway, &secret).post(CHAT, &ask).await.refused(403, "permission_error");
    gateway.terminate();
    assert_eq!(gateway.exited().await, Some(0));
    let second = Gateway::builder().parallel(1).context(512).after(&gateway).start().await;
    client(&second, &secret).post(CHAT, &ask).await.refused(403, "permission_error");
    client(&second, &secret).get("/v1/models").await.ok();
}

#[tokio::test]
async fn two_gateways_do_not_share_an_embedded_store() {
    let gateway = Gateway::builder().parallel(1).context(512).start().await;
    let mut command = builder::command();
    command.args(["serve", "--listen", "127.0.0.1:0", "--model"]).arg(model::path());
    command.env("GATEWAY_DATA_DIR", gateway.data());
    let output = command.output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("access.redb"), "{text}");
}
