//! Gateways that share a Redis are one: what an admin does at one of them is in force at all.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use serde_json::{Value, json};
use tests::http::Http;
use tests::redis::Redis;
use tests::{Gateway, eventually};

/// Two gateways on one Redis.
struct Fleet {
    redis: Redis,
    one: Gateway,
    two: Gateway,
}

impl Fleet {
    async fn start(redis: Redis) -> Self {
        let one = redis.gateway().start().await;
        let two = redis.gateway().beside(&one).start().await;
        Self { redis, one, two }
    }

    /// A key that was made at one of the gateways, used at the second.
    async fn user(&self, made_at: &Gateway) -> (Http, String) {
        let request = json!({"subject": "alice", "role": "user"});
        let made = made_at.http().post("/admin/v1/keys", &request).await.ok();
        let secret = made["secret"].as_str().expect("a secret");
        let id = made["key"]["id"].as_str().expect("an id").to_owned();
        (Http::new(self.two.address(), secret), id)
    }
}

#[tokio::test]
async fn a_role_changed_at_one_gateway_is_in_force_at_the_other() {
    let fleet = Fleet::start(Redis::start().await).await;
    let (alice, _) = fleet.user(&fleet.one).await;
    alice.chat(&fleet.two.ask("Hi")).await;
    let change = json!({"policy": {"permissions": ["models:read"]}});
    let call = fleet.one.http().request(http::Method::PATCH, "/admin/v1/roles/user");
    call.header("if-match", "*")
        .header("content-type", "application/json")
        .body(change.to_string())
        .send()
        .await
        .ok();
    let ask = fleet.two.ask("Hi").to_string();
    eventually!(
        alice.json("/v1/chat/completions").body(ask.clone()).send().await.status == 403,
        "the other gateway refuses"
    );
}

#[tokio::test]
async fn a_key_revoked_at_one_gateway_ends_its_stream_at_the_other() {
    let fleet = Fleet::start(Redis::start().await).await;
    let (alice, id) = fleet.user(&fleet.one).await;
    let mut stream = alice.stream("/v1/chat/completions", &fleet.two.endless("Count.", 400)).await;
    stream.next().await.expect("it begins");
    fleet.one.http().request(http::Method::DELETE, &format!("/admin/v1/keys/{id}")).send().await.ok();
    let mut last = String::new();
    while let Some(frame) = stream.next().await {
        last = format!("{frame:?}");
    }
    assert!(last.contains("credential_revoked"), "{last}");
    assert_eq!(alice.get("/v1/models").await.status, 401);
}

#[tokio::test]
async fn a_token_of_one_gateway_is_good_at_the_other() {
    let fleet = Fleet::start(Redis::start().await).await;
    let request = json!({"subject": "carol", "role": "user"});
    let made = fleet.one.http().post("/admin/v1/tokens", &request).await.ok();
    let carol = Http::new(fleet.two.address(), made["token"].as_str().expect("a token"));
    carol.chat(&fleet.two.ask("Hi")).await;
    let keys = |answer: Value| answer["keys"][0]["kid"].clone();
    let (one, two) = (
        fleet.one.http().get("/.well-known/jwks.json").await.ok(),
        fleet.two.http().get("/.well-known/jwks.json").await.ok(),
    );
    assert_eq!(keys(one), keys(two));
}

#[tokio::test]
async fn while_redis_is_frozen_who_is_known_goes_on_and_nothing_hangs() {
    let fleet = Fleet::start(Redis::start().await).await;
    let (alice, _) = fleet.user(&fleet.two).await;
    alice.chat(&fleet.two.ask("Hi")).await;
    fleet.redis.signal("-STOP");
    let patient = |call: tests::http::Call| tokio::time::timeout(Duration::from_secs(30), call.send());
    let ask = fleet.two.ask("Hi").to_string();
    patient(alice.json("/v1/chat/completions").body(ask)).await.expect("it does not hang").ok();
    let stranger = Http::new(fleet.two.address(), "sk-nobody");
    let call = stranger.request(http::Method::GET, "/v1/models");
    let answer = patient(call).await.expect("it does not hang");
    answer.refused(503, "overloaded_error");
    fleet.redis.signal("-CONT");
    eventually!(stranger.get("/v1/models").await.status == 401, "who is asked for is looked up again");
}

#[tokio::test]
async fn a_redis_that_comes_back_with_its_data_has_everybody_and_without_them_nobody() {
    let mut fleet = Fleet::start(Redis::persistent().await).await;
    let (alice, _) = fleet.user(&fleet.two).await;
    alice.get("/v1/models").await.ok();
    fleet.redis.restart().await;
    eventually!(fleet.one.http().get("/admin/v1/roles").await.status == 200, "the store is back");
    alice.get("/v1/models").await.ok();

    let mut fleet = Fleet::start(Redis::start().await).await;
    let (alice, _) = fleet.user(&fleet.two).await;
    alice.get("/v1/models").await.ok();
    fleet.redis.restart().await;
    eventually!(alice.get("/v1/models").await.status == 401, "nobody is known");
    // The next start makes its admin of the key in its data folder again.
    let again = fleet.redis.gateway().beside(&fleet.one).start().await;
    again.http().get("/admin/v1/roles").await.ok();
}
