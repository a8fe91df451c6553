//! Conversations on real gateways: what was answered is kept through kills, nothing is kept by half, nobody reads
//! another's, and memory changes no answer.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::golden::{RESHAPED, SPLIT, assert_same, steps};
use tests::http::Http;
use tests::redis::Redis;
use tests::{Gateway, eventually, rights};

const RESPONSES: &str = "/v1/responses";

async fn begin(http: &Http) -> String {
    let made = http.post("/v1/conversations", &json!({})).await.ok();
    made["id"].as_str().expect("an id").to_owned()
}

fn turn(model: &str, conversation: &str, text: &str) -> Value {
    json!({"model": model, "input": text, "conversation": conversation, "temperature": 0, "max_output_tokens": 4})
}

/// The items of a conversation, oldest first: who speaks, and what.
async fn items(http: &Http, conversation: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/v1/conversations/{conversation}/items?order=asc&limit=100{after}");
        let page = http.get(&path).await.ok();
        for item in page["data"].as_array().expect("a list") {
            let text = item["content"][0]["text"].as_str().unwrap_or_default();
            all.push((item["role"].as_str().unwrap_or_default().to_owned(), text.to_owned()));
        }
        if page["has_more"] != true {
            return all;
        }
        after = format!("&after={}", page["last_id"].as_str().expect("an id"));
    }
}

/// Goes on with a conversation until the gateway is gone. Returns the questions whose answers came whole.
async fn talk_until_the_end(http: &Http, model: &str, conversation: &str) -> Vec<String> {
    let mut acknowledged = Vec::new();
    loop {
        let text = format!("Question {} of {conversation}.", acknowledged.len());
        match http.try_post(RESPONSES, &turn(model, conversation, &text)).await {
            Some(answer) if answer.status == 200 => acknowledged.push(text),
            Some(answer) => assert_eq!(answer.status, 503, "{}", answer.text()),
            None => return acknowledged,
        }
    }
}

/// Every acknowledged turn is there once; of the turn that the end interrupted all is there, or nothing.
async fn assert_whole(http: &Http, talks: &BTreeMap<String, Vec<String>>) {
    for (conversation, acknowledged) in talks {
        let items = items(http, conversation).await;
        let asked: Vec<&String> =
            items.iter().filter(|(role, _)| role == "user").map(|(_, text)| text).collect();
        assert!(asked.len() <= acknowledged.len() + 1, "{asked:?} of {acknowledged:?}");
        assert!(
            asked.iter().zip(acknowledged).all(|(kept, told)| *kept == told),
            "{asked:?} {acknowledged:?}"
        );
        assert!(asked.len() >= acknowledged.len(), "{asked:?} of {acknowledged:?}");
        assert_eq!(items.len(), 2 * asked.len(), "a turn is a question and its answer: {items:?}");
    }
}

async fn talk_and_kill(gateway: &mut Gateway) -> BTreeMap<String, Vec<String>> {
    const TALKS: usize = 6;
    let (http, model) = (Http::new(gateway.address(), gateway.http().key()), gateway.model().to_owned());
    let conversations: Vec<String> = join_all((0..TALKS).map(|_| begin(&http))).await;
    let talks =
        join_all(conversations.iter().map(|conversation| talk_until_the_end(&http, &model, conversation)));
    let first = conversations[0].clone();
    let watch = Http::new(gateway.address(), gateway.http().key());
    let kill = async {
        eventually!(items(&watch, &first).await.len() >= 6, "three turns are kept");
        gateway.kill().await;
    };
    let (talks, ()) = tokio::join!(talks, kill);
    assert!(talks.iter().any(|talk| talk.len() >= 2), "there was load: {talks:?}");
    conversations.into_iter().zip(talks).collect()
}

#[tokio::test]
async fn what_was_answered_outlives_a_killed_gateway_exactly_once() {
    let mut gateway = Gateway::builder().parallel(6).context(2048).start().await;
    let talks = talk_and_kill(&mut gateway).await;
    let again = Gateway::builder().parallel(6).context(2048).after(&gateway).start().await;
    assert_whole(again.http(), &talks).await;
    let conversation = talks.keys().next().expect("a talk");
    again.http().post(RESPONSES, &turn(again.model(), conversation, "Go on.")).await.ok();
}

#[tokio::test]
async fn what_was_answered_outlives_a_killed_redis_exactly_once() {
    let mut redis = Redis::persistent().await;
    let mut gateway = redis.gateway().parallel(6).context(2048).start().await;
    let talks = talk_and_kill(&mut gateway).await;
    redis.restart().await;
    let again = redis.gateway().parallel(6).context(2048).beside(&gateway).start().await;
    assert_whole(again.http(), &talks).await;
}

#[tokio::test]
async fn a_redis_that_is_away_is_told_and_nothing_is_invented() {
    let redis = Redis::persistent().await;
    let gateway = redis.gateway().start().await;
    let conversation = begin(gateway.http()).await;
    gateway.http().post(RESPONSES, &turn(gateway.model(), &conversation, "One.")).await.ok();
    redis.signal("-STOP");
    let next = turn(gateway.model(), &conversation, "Two.");
    let refused = gateway.http().post(RESPONSES, &next).await.refused(503, "overloaded_error");
    assert_eq!(refused["code"], "conversations_unavailable");
    let free = json!({"model": gateway.model(), "input": "Hi", "store": false, "max_output_tokens": 4});
    gateway.http().post(RESPONSES, &free).await.ok();
    redis.signal("-CONT");
    eventually!(gateway.http().post(RESPONSES, &next).await.status == 200, "it goes on once Redis is back");
    assert_eq!(items(gateway.http(), &conversation).await.len(), 4);
}

#[tokio::test]
async fn a_conversation_goes_on_at_another_gateway_and_a_stream_is_told_there() {
    let redis = Redis::start().await;
    let one = redis.gateway().start().await;
    let two = redis.gateway().beside(&one).start().await;
    let conversation = begin(one.http()).await;
    one.http().post(RESPONSES, &turn(one.model(), &conversation, "One.")).await.ok();
    two.http().post(RESPONSES, &turn(two.model(), &conversation, "Two.")).await.ok();
    assert_eq!(items(one.http(), &conversation).await.len(), 4);
    let request =
        json!({"model": one.model(), "input": "Count.", "background": true, "max_output_tokens": 12});
    let queued = one.http().post(RESPONSES, &request).await.ok();
    let path = format!("{RESPONSES}/{}", queued["id"].as_str().expect("an id"));
    let answer = two.http().get(&format!("{path}?stream=true&starting_after=1")).await;
    let last = answer.text().trim().lines().last().map(str::to_owned).expect("events");
    let last: Value = serde_json::from_str(last.trim_start_matches("data: ")).expect("JSON");
    assert!(["response.completed", "response.incomplete"].contains(&last["type"].as_str().expect("a type")));
    assert_eq!(two.http().get(&path).await.ok(), last["response"]);
}

#[tokio::test]
async fn nobody_finds_what_another_has() {
    let gateway = Gateway::builder().parallel(2).context(512).start().await;
    let (alice, bob) =
        (rights::holder(&gateway, "alice", "user").await, rights::holder(&gateway, "bob", "user").await);
    let conversation = begin(&alice).await;
    let made = alice.post(RESPONSES, &turn(gateway.model(), &conversation, "A secret.")).await.ok();
    let response = made["id"].as_str().expect("an id");
    let admin = gateway.http();
    for other in [&bob, admin] {
        for path in [
            format!("/v1/conversations/{conversation}"),
            format!("/v1/conversations/{conversation}/items"),
            format!("{RESPONSES}/{response}"),
            format!("{RESPONSES}/{response}/input_items"),
            format!("{RESPONSES}/{response}?stream=true"),
        ] {
            assert_eq!(other.get(&path).await.status, 404, "{path}");
        }
        let chained =
            json!({"model": gateway.model(), "input": "What was it?", "previous_response_id": response});
        assert_eq!(other.post(RESPONSES, &chained).await.status, 404);
        assert_eq!(other.post(RESPONSES, &turn(gateway.model(), &conversation, "?")).await.status, 404);
        assert_eq!(rights::delete(other, &format!("/v1/conversations/{conversation}")).await.status, 404);
        assert_eq!(rights::delete(other, &format!("{RESPONSES}/{response}")).await.status, 404);
    }
    let data = "/admin/v1/subjects/alice/data";
    bob.get(data).await.refused(403, "permission_error");
    let listed = admin.get(data).await;
    assert!(!listed.text().contains("secret"), "an admin lists without reading");
    assert_eq!(listed.ok()["data"].as_array().map(Vec::len), Some(2));
    let export = alice.get(&format!("{data}?content=true")).await;
    assert!(export.text().contains("A secret."), "everybody takes their own away");
    assert_eq!(rights::delete(&alice, data).await.ok()["things"], 2);
    assert_eq!(alice.get(&format!("/v1/conversations/{conversation}")).await.status, 404);
    let audit = admin.get("/admin/v1/audit").await.ok();
    assert_eq!(audit["data"][0]["action"], "subject.forget");
}

#[tokio::test]
async fn contents_at_rest_are_sealed_where_a_key_is_given() {
    let builder = Gateway::builder().parallel(1).context(512);
    let key = builder.data().join("conversation.key");
    std::fs::write(&key, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=").expect("the key can be written");
    let mut gateway = builder.set("GATEWAY_CONVERSATION_KEY", key.display()).start().await;
    let conversation = begin(gateway.http()).await;
    let word = "Zanzibarian";
    gateway.http().post(RESPONSES, &turn(gateway.model(), &conversation, word)).await.ok();
    assert_eq!(items(gateway.http(), &conversation).await[0].1, word);
    gateway.kill().await;
    let file = std::fs::read(gateway.data().join("conversations.redb")).expect("the store");
    assert!(!file.windows(word.len()).any(|window| window == word.as_bytes()));
    let blind = Gateway::builder().parallel(1).context(512).after(&gateway).start().await;
    let path = format!("/v1/conversations/{conversation}/items");
    let refused = blind.http().get(&path).await.refused(500, "server_error");
    assert_eq!(refused["code"], "content_unreadable");
}

/// Answers with their log-probabilities, of a conversation that the server remembers or that is sent again whole.
async fn talk(gateway: &Gateway, questions: &[&str], remembered: bool) -> Vec<Vec<tests::golden::Step>> {
    let http = gateway.http();
    let conversation = begin(http).await;
    let mut history: Vec<Value> = Vec::new();
    let mut answers = Vec::new();
    for question in questions {
        let mut request = gateway.endless(question, 16);
        request["logprobs"] = json!(true);
        request["top_logprobs"] = json!(5);
        let user = request["messages"][0].clone();
        if remembered {
            request["conversation"] = json!(conversation);
        } else {
            history.push(user);
            request["messages"] = json!(history);
        }
        let answer = http.chat(&request).await;
        history.push(answer["choices"][0]["message"].clone());
        let entries = answer["choices"][0]["logprobs"]["content"].as_array().expect("entries");
        answers.push(steps(entries));
    }
    answers
}

#[tokio::test]
async fn what_is_remembered_answers_as_what_is_sent_again_cached_or_not() {
    const QUESTIONS: [&str; 3] = ["My name is Ada.", "I like the number seven.", "What is my name?"];
    let gateway = Gateway::builder().parallel(2).context(1024).start().await;
    let reference = talk(&gateway, &QUESTIONS, false).await;
    let uncached =
        Gateway::builder().parallel(2).context(1024).set("GATEWAY_SHARE_PREFIX", "none").start().await;
    // A whole prompt is long enough for the other kernel, which its pieces are not.
    for (label, other, bound) in [("cached", &gateway, SPLIT), ("not cached", &uncached, RESHAPED)] {
        for (reference, own) in reference.iter().zip(talk(other, &QUESTIONS, true).await) {
            assert_same(label, bound, reference, &own);
        }
    }
}

/// What a conversation answers.
async fn ask(gateway: &Gateway, conversation: &str, text: String) -> String {
    let answer = gateway.http().post(RESPONSES, &turn(gateway.model(), conversation, &text)).await.ok();
    answer["output"][0]["content"][0]["text"].as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn interleaved_conversations_are_each_as_if_alone() {
    const TALKS: usize = 24;
    let gateway = Gateway::builder().parallel(4).context(512).start().await;
    let http = gateway.http();
    // Pairs of the same words by two conversations: one among all the others, one when all is quiet.
    let text = |place: usize, round: usize| {
        format!("Round {round} of talk {place}: say a word about {}.", place * 7)
    };
    let crowd: Vec<String> = join_all((0..TALKS).map(|_| begin(http))).await;
    let mut busy = vec![Vec::new(); TALKS];
    for round in 0..3 {
        let answers =
            join_all(crowd.iter().enumerate().map(|(place, id)| ask(&gateway, id, text(place, round)))).await;
        for (own, answer) in busy.iter_mut().zip(answers) {
            own.push(answer);
        }
    }
    for (place, own) in busy.iter().enumerate().step_by(3) {
        let lone = begin(http).await;
        for (round, answer) in own.iter().enumerate() {
            assert_eq!(
                &ask(&gateway, &lone, text(place, round)).await,
                answer,
                "talk {place}, round {round}"
            );
        }
    }
}
