//! Limits as clients of one gateway, and of two that share a Redis, live them.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::http::Http;
use tests::redis::Redis;
use tests::{Answer, Gateway, eventually};

const CHAT: &str = "/v1/chat/completions";

/// Gives `alice` a role with this policy and a key.
async fn alice(gateway: &Gateway, policy: &Value) -> Http {
    let admin = gateway.http();
    let role = json!({"name": "limited", "policy": policy});
    assert_eq!(admin.post("/admin/v1/roles", &role).await.status, 200);
    let made = admin.post("/admin/v1/keys", &json!({"subject": "alice", "role": "limited"})).await.ok();
    let secret = made.get("secret").and_then(Value::as_str).expect("a secret");
    Http::new(gateway.address(), secret)
}

fn short(gateway: &Gateway) -> Value {
    let mut request = gateway.ask("Hi");
    request["max_tokens"] = 1.into();
    request
}

async fn gateway_with(redis: &Redis) -> Gateway {
    redis.gateway().start().await
}

#[tokio::test]
async fn tokens_are_counted_exactly_and_what_is_not_used_is_given_back() {
    let gateway = Gateway::builder().parallel(2).context(512).start().await;
    let alice = alice(&gateway, &json!({"permissions": ["chat"], "tokens_per_minute": 2000})).await;
    let mut used = 0;
    for _ in 0..3 {
        let answer = alice.chat(&short(&gateway)).await;
        used += answer.pointer("/usage/total_tokens").and_then(Value::as_u64).expect("a usage");
    }
    let mut streamed = short(&gateway);
    streamed["stream_options"] = json!({"include_usage": true});
    streamed["max_tokens"] = 5.into();
    let folded = alice.chat_stream(&streamed).await;
    used += folded
        .usage
        .as_ref()
        .and_then(|usage| usage.pointer("/total_tokens"))
        .and_then(Value::as_u64)
        .expect("a usage");
    gateway.idle().await;
    let asked = json!({"subject": "alice", "permission": "chat"});
    eventually!(
        gateway.http().post("/admin/v1/explain", &asked).await.ok().pointer("/left/tokens")
            == Some(&json!(2000 - used)),
        "what was not used is given back"
    );
    let answer = alice.post(CHAT, &short(&gateway)).await;
    assert_eq!(answer.header("x-ratelimit-limit-tokens"), "2000");
}

#[tokio::test]
async fn two_gateways_that_share_a_redis_never_grant_more_than_the_limit() {
    let redis = Redis::start().await;
    let one = gateway_with(&redis).await;
    let two = redis.gateway().beside(&one).start().await;
    let policy = json!({"permissions": ["chat"], "requests_per_minute": 7});
    let first = alice(&one, &policy).await;
    let second = Http::new(two.address(), first.key());
    let (ask_one, ask_two) = (short(&one), short(&two));
    let calls = (0..10).flat_map(|_| [first.post(CHAT, &ask_one), second.post(CHAT, &ask_two)]);
    let answers: Vec<Answer> = join_all(calls).await;
    let passed = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(passed, 7);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.refused(429, "rate_limit_error");
        assert!(!refused.header("retry-after-ms").is_empty());
    }
}

#[tokio::test]
async fn a_redis_that_hangs_or_dies_holds_no_request_up() {
    let redis = Redis::start().await;
    let gateway = gateway_with(&redis).await;
    let alice = alice(&gateway, &json!({"permissions": ["chat"], "requests_per_minute": 1000})).await;
    alice.chat(&short(&gateway)).await;
    redis.signal("-STOP");
    for _ in 0..3 {
        let request = alice.json(CHAT).body(short(&gateway).to_string()).send();
        let answer = tokio::time::timeout(Duration::from_secs(20), request).await.expect("it does not hang");
        answer.ok();
    }
    redis.signal("-CONT");
    redis.signal("-KILL");
    alice.chat(&short(&gateway)).await;
    assert_eq!(gateway.log().matches("the store of limits is away").count(), 1, "the log says so once");
}
