//! Taking what nobody gave: each trick of each kind of manager is refused, and changes nothing.

use http::Method;
use serde_json::{Value, json};
use tests::http::Http;
use tests::{Answer, Frame, Gateway, rights};

use super::{PERMISSIONS, WHOAMI, client, gateway};

/// Something a caller might try.
struct Trick(Method, String, Value);

fn post(path: &str, body: Value) -> Trick {
    Trick(Method::POST, format!("/admin/v1/{path}"), body)
}

fn change(path: &str, body: Value) -> Trick {
    Trick(Method::PATCH, format!("/admin/v1/{path}"), body)
}

fn remove(path: &str) -> Trick {
    Trick(Method::DELETE, format!("/admin/v1/{path}"), Value::Null)
}

async fn attempt(caller: &Http, Trick(method, path, body): &Trick) -> Answer {
    let call = caller.request(method.clone(), path).header("if-match", "*");
    if body.is_null() {
        return call.send().await;
    }
    call.header("content-type", "application/json").body(body.to_string()).send().await
}

/// Panics unless each trick is refused with 403 or 409, and the admin finds everything as it was.
async fn assert_futile(gateway: &Gateway, caller: &Http, tricks: &[Trick]) {
    let before = rights::state(gateway).await;
    for trick in tricks {
        let answer = attempt(caller, trick).await;
        let Trick(method, path, body) = trick;
        assert!(
            [403, 409].contains(&answer.status),
            "{method} {path} {body}: {} {}",
            answer.status,
            answer.text()
        );
        let after = rights::state(gateway).await;
        assert_eq!(after, before, "{method} {path} {body} was refused and done");
    }
    gateway.http().get(WHOAMI).await.ok();
}

/// The id of the key that the first start made.
async fn first_key(gateway: &Gateway) -> String {
    let keys = gateway.http().get("/admin/v1/keys").await.ok();
    rights::text(&keys, "/data/0/id").to_owned()
}

#[tokio::test]
async fn who_manages_keys_makes_none_for_the_stronger() {
    let gateway = gateway().await;
    rights::holder(&gateway, "alice", "user").await;
    let caller = rights::only(&gateway, "keys-only", &["keys:manage"]).await;
    assert_futile(
        &gateway,
        &caller,
        &[
            post("keys", json!({"subject": "admin"})),
            post("keys", json!({"subject": "admin", "role": "admin"})),
            post("keys", json!({"subject": "new", "role": "admin"})),
            post("keys", json!({"subject": "new", "role": "user"})),
            post("keys", json!({"subject": "alice"})),
            // Its subject has another role: a key is no way to change it.
            post("keys", json!({"subject": "keys-only", "role": "admin"})),
            post("keys", json!({"subject": "admin", "role": "keys-only"})),
            post("tokens", json!({"subject": "admin"})),
            post("tokens", json!({"subject": "new", "role": "admin"})),
            post("tokens", json!({"subject": "new", "role": "user"})),
            post("tokens", json!({"subject": "alice"})),
            post("tokens", json!({"subject": "admin", "role": "keys-only"})),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_token_claims_no_role_that_its_maker_could_not_give() {
    let gateway = gateway().await;
    let caller = rights::only(&gateway, "keys-only", &["keys:manage"]).await;
    rights::role(&gateway, "nothing", &json!({})).await;
    rights::holder(&gateway, "weak", "nothing").await;
    // The record hides the claim for now; without the record the claim would count.
    assert_futile(
        &gateway,
        &caller,
        &[
            post("tokens", json!({"subject": "weak", "role": "admin"})),
            post("tokens", json!({"subject": "keys-only", "role": "admin"})),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_token_claims_no_role_that_is_made_only_later() {
    let gateway = gateway().await;
    let caller = rights::only(&gateway, "keys-only", &["keys:manage"]).await;
    let answer = caller.post("/admin/v1/tokens", &json!({"subject": "ghost", "role": "later"})).await;
    assert_eq!(answer.refused(400, "invalid_request_error")["param"], "role");
}

#[tokio::test]
async fn who_manages_keys_revokes_none_of_the_stronger() {
    let gateway = gateway().await;
    let (alice, alices) = rights::key(&gateway, "alice", "user").await;
    let (_, admins) = rights::key(&gateway, "second", "admin").await;
    let first = first_key(&gateway).await;
    let caller = rights::only(&gateway, "keys-only", &["keys:manage"]).await;
    let tricks = [&first, &alices, &admins].map(|id| remove(&format!("keys/{id}")));
    assert_futile(&gateway, &caller, &tricks).await;
    alice.get(WHOAMI).await.ok();
}

#[tokio::test]
async fn revoking_a_keys_id_as_a_token_ends_no_stream_of_the_stronger() {
    let gateway = gateway().await;
    let caller = rights::only(&gateway, "keys-only", &["keys:manage"]).await;
    let first = first_key(&gateway).await;
    let mut stream = gateway.http().stream("/v1/completions", &endless(&gateway)).await;
    stream.chunk().await;
    rights::delete(&caller, &format!("/admin/v1/tokens/{first}")).await.refused(404, "not_found_error");
    while let Some(frame) = stream.next().await {
        let Frame::Data(data) = frame else { continue };
        assert!(data.get("error").is_none(), "the stream was ended: {data}");
    }
    gateway.http().get(WHOAMI).await.ok();
}

/// A text that goes on to its limit.
fn endless(gateway: &Gateway) -> Value {
    let mut request = gateway.endless("", 200);
    request["prompt"] = "Count: 1, 2, 3,".into();
    request
}

#[tokio::test]
async fn who_manages_keys_manages_nothing_else() {
    let gateway = gateway().await;
    let caller = rights::only(&gateway, "keys-only", &["keys:manage"]).await;
    let everything = json!({ "permissions": PERMISSIONS });
    assert_futile(
        &gateway,
        &caller,
        &[
            post("roles", json!({"name": "mine", "policy": everything})),
            change("roles/keys-only", json!({"policy": everything})),
            change("subjects/keys-only", json!({"role": "admin"})),
            change("subjects/keys-only", json!({"overrides": everything})),
            post("subjects", json!({"id": "new", "role": "admin"})),
            remove("subjects/admin"),
            remove("roles/keys-only"),
        ],
    )
    .await;
}

#[tokio::test]
async fn who_manages_roles_widens_none() {
    let gateway = gateway().await;
    let caller = rights::only(&gateway, "roles-only", &["roles:manage"]).await;
    let everything = json!({ "permissions": PERMISSIONS });
    let one_more = json!({"permissions": ["roles:manage", "roles:read"]});
    assert_futile(
        &gateway,
        &caller,
        &[
            change("roles/roles-only", json!({"policy": everything})),
            change("roles/roles-only", json!({"policy": one_more})),
            change("subjects/roles-only", json!({"overrides": everything})),
            change("subjects/roles-only", json!({"overrides": one_more})),
            change("subjects/roles-only", json!({"role": "admin"})),
            change("subjects/roles-only", json!({"role": "admin", "overrides": {"concurrency": 1}})),
            change("subjects/roles-only", json!({"role": "viewer"})),
            post("subjects", json!({"id": "new", "role": "admin"})),
            post("subjects", json!({"id": "new", "overrides": everything})),
            post("roles", json!({"name": "mine", "policy": everything})),
            post("roles", json!({"name": "mine", "policy": one_more})),
            post("keys", json!({"subject": "roles-only"})),
            post("tokens", json!({"subject": "roles-only", "role": "admin"})),
        ],
    )
    .await;
}

#[tokio::test]
async fn who_manages_roles_takes_nothing_from_the_stronger() {
    let gateway = gateway().await;
    rights::holder(&gateway, "alice", "user").await;
    let caller = rights::only(&gateway, "roles-only", &["roles:manage"]).await;
    let mut tricks = vec![
        change("roles/admin", json!({"policy": {"permissions": ["roles:manage"]}})),
        change("roles/admin", json!({"policy": {"requests_per_minute": 0}})),
        change("roles/admin", json!({"description": "changed"})),
        change("roles/user", json!({"policy": {"models": []}})),
        remove("roles/admin"),
        remove("roles/user"),
    ];
    for subject in ["admin", "alice"] {
        let path = format!("subjects/{subject}");
        tricks.extend([
            remove(&path),
            change(&path, json!({"disabled": true})),
            change(&path, json!({"role": null})),
            change(&path, json!({"role": "roles-only"})),
            change(&path, json!({"overrides": {"permissions": []}})),
            change(&path, json!({"overrides": {"requests_per_minute": 0}})),
            change(&path, json!({"note": "changed"})),
        ]);
    }
    assert_futile(&gateway, &caller, &tricks).await;
}

#[tokio::test]
async fn nobody_raises_their_own_limits() {
    let gateway = gateway().await;
    let limits = json!({"permissions": ["roles:manage", "chat"], "models": ["small-*"], "requests_per_minute": 100_000,
        "tokens_per_minute": 1000, "tokens_per_day": 1000, "concurrency": 2, "context_cap": 100, "output_cap": 10});
    rights::role(&gateway, "limited", &limits).await;
    let caller = rights::holder(&gateway, "limited", "limited").await;
    let mut tricks = Vec::new();
    for wider in [
        json!({"requests_per_minute": 100_001}),
        json!({"requests_per_minute": null}),
        json!({"tokens_per_minute": null}),
        json!({"tokens_per_day": u64::MAX}),
        json!({"concurrency": 3}),
        json!({"context_cap": null}),
        json!({"output_cap": 11}),
        json!({"priority": 1}),
        json!({"models": ["*"]}),
        json!({"models": ["small-*", "large"]}),
        json!({"models": ["*mall-*"]}),
    ] {
        tricks.push(change("subjects/limited", json!({"overrides": wider})));
        tricks.push(change("roles/limited", json!({"policy": wider})));
    }
    // A policy that does not name its bounds has none.
    tricks.push(post("roles", json!({"name": "free", "policy": {"permissions": ["chat"]}})));
    tricks.push(post("subjects", json!({"id": "free", "role": "user"})));
    assert_futile(&gateway, &caller, &tricks).await;
}

#[tokio::test]
async fn the_last_admin_cannot_lock_everybody_out() {
    let gateway = gateway().await;
    let first = first_key(&gateway).await;
    // Admins that could not help: one without a key, one disabled, one whose key is revoked.
    let admin = gateway.http();
    admin.post("/admin/v1/subjects", &json!({"id": "keyless", "role": "admin"})).await.ok();
    rights::holder(&gateway, "disabled", "admin").await;
    rights::patch(admin, "/admin/v1/subjects/disabled", &json!({"disabled": true})).await.ok();
    let (_, revoked) = rights::key(&gateway, "revoked", "admin").await;
    rights::delete(admin, &format!("/admin/v1/keys/{revoked}")).await.ok();
    let locks = |lacking: &str| {
        let left: Vec<&str> = PERMISSIONS.into_iter().filter(|name| *name != lacking).collect();
        json!({ "permissions": left })
    };
    let mut tricks = vec![
        remove("subjects/admin"),
        remove("roles/admin"),
        remove(&format!("keys/{first}")),
        change("subjects/admin", json!({"disabled": true})),
        change("subjects/admin", json!({"role": "viewer"})),
        change("subjects/admin", json!({"role": null})),
    ];
    for lacking in ["roles:manage", "keys:manage"] {
        tricks.push(change("subjects/admin", json!({"overrides": locks(lacking)})));
        tricks.push(change("roles/admin", json!({"policy": locks(lacking)})));
    }
    assert_futile(&gateway, gateway.http(), &tricks).await;
}

#[tokio::test]
async fn who_manages_keys_and_roles_gets_no_further_right() {
    let gateway = gateway().await;
    let caller = rights::only(&gateway, "deputy", &["roles:manage", "keys:manage"]).await;
    // Its own creature, which it may remove again: what the record hid would then count.
    caller.post("/admin/v1/keys", &json!({"subject": "puppet", "role": "deputy"})).await.ok();
    assert_futile(
        &gateway,
        &caller,
        &[
            post("tokens", json!({"subject": "puppet", "role": "admin"})),
            post("tokens", json!({"subject": "puppet", "role": "user"})),
            post("keys", json!({"subject": "puppet", "role": "admin"})),
            change("subjects/puppet", json!({"role": "admin"})),
            change("subjects/puppet", json!({"overrides": {"permissions": ["chat"]}})),
            change("roles/deputy", json!({"policy": {"permissions": PERMISSIONS}})),
            remove("subjects/admin"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_token_for_a_disabled_subject_is_a_conflict_and_no_failed_login() {
    let gateway = gateway().await;
    rights::holder(&gateway, "alice", "user").await;
    rights::patch(gateway.http(), "/admin/v1/subjects/alice", &json!({"disabled": true})).await.ok();
    assert_futile(&gateway, gateway.http(), &[post("tokens", json!({"subject": "alice"}))]).await;
}

#[tokio::test]
async fn what_a_manager_may_give_it_gives() {
    let gateway = gateway().await;
    let caller = rights::only(&gateway, "deputy", &["roles:manage", "keys:manage", "chat"]).await;
    let narrow = json!({"permissions": ["chat"], "requests_per_minute": 5});
    caller.post("/admin/v1/roles", &json!({"name": "chatter", "policy": narrow})).await.ok();
    let made = caller.post("/admin/v1/keys", &json!({"subject": "bob", "role": "chatter"})).await.ok();
    let who = client(&gateway, rights::text(&made, "/secret")).get(WHOAMI).await.ok();
    assert_eq!((&who["role"], &who["policy"]["requests_per_minute"]), (&json!("chatter"), &json!(5)));
    rights::delete(&caller, &format!("/admin/v1/keys/{}", rights::text(&made, "/key/id"))).await.ok();
    rights::delete(&caller, "/admin/v1/subjects/bob").await.ok();
    rights::delete(&caller, "/admin/v1/roles/chatter").await.ok();
}
