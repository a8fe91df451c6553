//! What was used is told by subject, model and day, exactly as the answers said it.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use tests::http::Http;
use tests::redis::Redis;
use tests::{Builder, Gateway};

async fn user(gateway: &Gateway, subject: &str) -> Http {
    let request = json!({"subject": subject, "role": "user"});
    let made = gateway.http().post("/admin/v1/keys", &request).await.ok();
    Http::new(gateway.address(), made["secret"].as_str().expect("a secret"))
}

/// Requests, prompt and completion tokens of the one row that a caller sees of a subject.
async fn used(http: &Http, subject: &str) -> [u64; 3] {
    let list = http.get(&format!("/admin/v1/usage?subject={subject}")).await.ok();
    let rows = list["data"].as_array().expect("rows");
    assert_eq!(rows.len(), 1, "{list}");
    ["requests", "prompt_tokens", "completion_tokens"].map(|field| rows[0][field].as_u64().expect("a count"))
}

fn tokens(usage: &Value) -> [u64; 2] {
    ["prompt_tokens", "completion_tokens"].map(|field| usage[field].as_u64().expect("a count"))
}

/// One whole answer and one streamed; the sums that must be told.
async fn two_answers(gateway: &Gateway, caller: &Http) -> [u64; 3] {
    let whole = tokens(&caller.chat(&gateway.ask("Say one word.")).await["usage"]);
    let mut streamed = gateway.ask("Say two words.");
    streamed["stream_options"] = json!({"include_usage": true});
    let folded = caller.chat_stream(&streamed).await;
    let streamed = tokens(folded.usage.as_ref().expect("a usage"));
    gateway.idle().await;
    [2, whole[0] + streamed[0], whole[1] + streamed[1]]
}

fn small() -> Builder {
    Gateway::builder().parallel(2).context(512)
}

#[tokio::test]
async fn each_sees_its_own_and_an_operator_everybodys_also_after_a_restart() {
    let mut gateway = small().start().await;
    let (alice, bob) = (user(&gateway, "alice").await, user(&gateway, "bob").await);
    let expected = two_answers(&gateway, &alice).await;
    assert_eq!(used(&alice, "alice").await, expected);
    bob.get("/admin/v1/usage?subject=alice").await.refused(403, "permission_error");
    let own = bob.get("/admin/v1/usage").await.ok();
    assert_eq!(own["data"], json!([]), "bob used nothing");
    bob.chat(&gateway.ask("Hi")).await;
    gateway.terminate();
    gateway.exited().await;
    let again = small().after(&gateway).start().await;
    assert_eq!(used(again.http(), "alice").await, expected);
    let all = again.http().get("/admin/v1/usage").await.ok();
    assert_eq!(all["data"].as_array().map(Vec::len), Some(2), "{all}");
}

#[tokio::test]
async fn gateways_that_share_a_redis_tell_the_sum() {
    let redis = Redis::start().await;
    let one = redis.gateway().start().await;
    let two = redis.gateway().beside(&one).start().await;
    let alice = user(&one, "alice").await;
    let first = two_answers(&one, &alice).await;
    let at_two = Http::new(two.address(), alice.key());
    let second = two_answers(&two, &at_two).await;
    let sum = [first[0] + second[0], first[1] + second[1], first[2] + second[2]];
    tests::eventually!(used(&at_two, "alice").await == sum, "the sum is told");
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_refused_by_name() {
    let gateway = small().start().await;
    for (query, param) in [
        ("from=yesterday", "from"),
        ("to=2026-02-30", "to"),
        ("from=2026-03-01&to=2026-02-01", "from"),
        ("after=x", "after"),
        ("limit=0", "limit"),
    ] {
        gateway.http().get(&format!("/admin/v1/usage?{query}")).await.refused_for(param);
    }
}
