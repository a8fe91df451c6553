//! What a caller sees of others: nothing without a permission, and no secret with every one.

use serde_json::json;
use tests::rights;

use super::gateway;

#[tokio::test]
async fn a_plain_user_sees_itself_and_nobody_else() {
    let gateway = gateway().await;
    let (bob, id) = rights::key(&gateway, "bob", "user").await;
    let alice = rights::holder(&gateway, "alice", "user").await;
    let who = alice.get("/admin/v1/whoami?subject=bob").await.ok();
    assert_eq!((&who["subject"], &who["role"]), (&json!("alice"), &json!("user")));
    assert!(!who.to_string().contains("bob"), "{who}");
    for path in [
        "/admin/v1/keys".to_owned(),
        format!("/admin/v1/keys/{id}"),
        "/admin/v1/subjects".into(),
        "/admin/v1/subjects/bob".into(),
        "/admin/v1/subjects/alice".into(),
        "/admin/v1/roles".into(),
        "/admin/v1/audit".into(),
    ] {
        let answer = alice.get(&path).await;
        answer.refused(403, "permission_error");
        assert!(!answer.text().contains("bob"), "{path}");
    }
    for subject in ["bob", "alice", "nobody"] {
        let asked = json!({"subject": subject, "permission": "chat"});
        alice.post("/admin/v1/explain", &asked).await.refused(403, "permission_error");
    }
    bob.get("/v1/models").await.ok();
}

#[tokio::test]
async fn what_is_refused_is_refused_alike_whether_or_not_it_exists() {
    let gateway = gateway().await;
    let alice = rights::holder(&gateway, "alice", "user").await;
    for (there, missing) in [
        ("/admin/v1/subjects/admin", "/admin/v1/subjects/nobody"),
        ("/admin/v1/roles/admin", "/admin/v1/roles/nothing"),
    ] {
        let (there, missing) = (alice.get(there).await, alice.get(missing).await);
        assert_eq!(there.refused(403, "permission_error"), missing.refused(403, "permission_error"));
        let (there, missing) = (
            rights::delete(&alice, "/admin/v1/keys/key_1").await,
            rights::delete(&alice, "/admin/v1/keys/x").await,
        );
        assert_eq!(there.refused(403, "permission_error"), missing.refused(403, "permission_error"));
    }
}

#[tokio::test]
async fn no_answer_and_no_log_line_holds_a_secret() {
    let gateway = gateway().await;
    let admin = gateway.http();
    let (alice, id) = rights::key(&gateway, "alice", "user").await;
    let (token, jti) = rights::token(&gateway, &json!({"subject": "bob", "role": "user"})).await;
    alice.get("/v1/models").await.ok();
    rights::delete(admin, &format!("/admin/v1/keys/{id}")).await.ok();
    rights::delete(admin, &format!("/admin/v1/tokens/{jti}")).await.ok();
    alice.get("/v1/models").await.refused(401, "authentication_error");
    let signing =
        std::fs::read_to_string(gateway.data().join("signing-keys.json")).expect("the signing keys");
    let signing: serde_json::Value = serde_json::from_str(&signing).expect("JSON");
    let signature = token.rsplit('.').next().expect("a signature");
    let secrets = [alice.key(), admin.key(), signature, rights::text(&signing, "/keys/0/secret")];
    // The first start shows the admin's key once, which is how its owner gets it.
    let log = gateway.log().replacen(admin.key(), "", 1);
    let mut texts = vec![("the log".to_owned(), log)];
    let key = format!("/admin/v1/keys/{id}");
    for path in ["/admin/v1/keys", &key, "/admin/v1/audit", "/admin/v1/subjects", "/admin/v1/roles"] {
        texts.push((path.to_owned(), admin.get(path).await.text()));
    }
    for (place, text) in texts {
        for (number, secret) in secrets.iter().enumerate() {
            assert!(!text.contains(secret), "{place} shows secret {number}");
        }
    }
}

#[tokio::test]
async fn the_secrets_lie_in_files_that_only_their_owner_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let gateway = gateway().await;
    let alice = rights::holder(&gateway, "alice", "user").await;
    for file in ["admin.key", "signing-keys.json", "access.redb"] {
        let path = gateway.data().join(file);
        let mode = std::fs::metadata(&path).expect("the file is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file} has mode {mode:o}");
    }
    let store = std::fs::read(gateway.data().join("access.redb")).expect("the store");
    let found = store.windows(alice.key().len()).any(|bytes| bytes == alice.key().as_bytes());
    assert!(!found, "only a hash of a key is kept");
}
