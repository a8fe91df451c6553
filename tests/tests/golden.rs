//! The same prompt at temperature 0 gives the same tokens, whatever happens beside it.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::golden::{Agreement, Step, assert_same, steps};
use tests::requests::long_text;
use tests::{Folded, Gateway, eventually};

const PROMPTS: [&str; 3] = [
    "Explain in two sentences why the sky is blue.",
    "Write a short story about a lighthouse keeper and a storm.",
    "List the planets of the solar system and one fact about each.",
];

fn request(gateway: &Gateway, prompt: &str) -> Value {
    let mut request = gateway.endless(prompt, 48);
    request["logprobs"] = json!(true);
    request["top_logprobs"] = json!(5);
    request
}

async fn answer(gateway: &Gateway, prompt: &str) -> Vec<Step> {
    let folded = gateway.http().chat_stream(&request(gateway, prompt)).await;
    steps(&folded.only().logprobs)
}

/// Answers computed alone, by a gateway that has computed nothing before.
async fn references() -> Vec<Vec<Step>> {
    let mut references = Vec::new();
    for prompt in PROMPTS {
        let gateway = Gateway::builder().parallel(1).context(1024).start().await;
        references.push(answer(&gateway, prompt).await);
    }
    references
}

/// Compares and prints what was measured, which is where the bound comes from.
#[expect(clippy::print_stderr, reason = "the measurement is the point")]
fn compare(label: &str, reference: &[Step], other: &[Step]) -> Agreement {
    let agreement = assert_same(label, reference, other);
    eprintln!("{label}: {agreement:?}");
    agreement
}

#[tokio::test]
async fn again_on_the_same_gateway_with_its_prefix_cached() {
    let references = references().await;
    let gateway = Gateway::builder().parallel(4).context(1024).start().await;
    for (prompt, reference) in PROMPTS.iter().zip(&references) {
        compare("first", reference, &answer(&gateway, prompt).await);
        let folded = gateway.http().chat(&request(&gateway, prompt)).await;
        let cached = folded["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().expect("a count");
        assert!(cached > 0, "the second time the prefix is there: {}", folded["usage"]);
        let entries = folded["choices"][0]["logprobs"]["content"].as_array().expect("entries").clone();
        compare("cached", reference, &steps(&entries));
    }
}

#[tokio::test]
async fn after_a_longer_conversation_with_the_same_beginning() {
    let references = references().await;
    let gateway = Gateway::builder().parallel(4).context(1024).start().await;
    let mut longer = gateway.endless(PROMPTS[1], 24);
    let first = gateway.http().chat(&longer).await;
    longer["messages"] = json!([
        {"role": "user", "content": PROMPTS[1]},
        first["choices"][0]["message"],
        {"role": "user", "content": "Go on."},
    ]);
    gateway.http().chat(&longer).await;
    compare("forked", &references[1], &answer(&gateway, PROMPTS[1]).await);
}

#[tokio::test]
async fn beside_fifteen_others() {
    let references = references().await;
    let gateway = Gateway::builder().parallel(16).context(1024).start().await;
    let others: Vec<Value> = (0..15)
        .map(|place| {
            let mut other = gateway.endless(&format!("Tell me about the number {place}."), 64);
            other["temperature"] = json!(1.0);
            other
        })
        .collect();
    for (prompt, reference) in PROMPTS.iter().zip(&references) {
        let crowd = join_all(others.iter().map(|other| gateway.http().chat_stream(other)));
        let (own, crowd) = tokio::join!(answer(&gateway, prompt), crowd);
        assert!(crowd.iter().all(|folded| folded.done), "the others end well too");
        compare("crowd", reference, &own);
    }
}

#[tokio::test]
async fn beside_itself_sixteen_times() {
    let references = references().await;
    let gateway = Gateway::builder().parallel(16).context(1024).start().await;
    let answers = join_all((0..16).map(|_| answer(&gateway, PROMPTS[0]))).await;
    for own in &answers {
        compare("itself", &references[0], own);
    }
}

#[tokio::test]
async fn in_a_unified_cache_and_without_sharing() {
    let references = references().await;
    for (variable, value) in [("GATEWAY_KV_LAYOUT", "unified"), ("GATEWAY_SHARE_PREFIX", "none")] {
        let gateway = Gateway::builder().parallel(4).context(1024).set(variable, value).start().await;
        for (prompt, reference) in PROMPTS.iter().zip(&references) {
            compare(value, reference, &answer(&gateway, prompt).await);
            compare(value, reference, &answer(&gateway, prompt).await);
        }
    }
}

#[tokio::test]
async fn while_a_long_prompt_is_prefilled_in_chunks() {
    let references = references().await;
    let gateway = Gateway::builder().parallel(4).context(2048).start().await;
    let mut long = gateway.ask(&long_text(1500));
    long["max_tokens"] = json!(2);
    let (own, intruder) = tokio::join!(answer(&gateway, PROMPTS[2]), gateway.http().chat_stream(&long));
    assert!(intruder.done);
    compare("intruder", &references[2], &own);
}

#[tokio::test]
async fn after_being_preempted_for_want_of_kv() {
    // Alone each answer fits into the one pool, together they do not: some must give way and come back.
    const TOKENS: u32 = 400;
    let wish = |gateway: &Gateway, place: usize| {
        let mut wish = gateway.endless(&format!("{} Begin with {place}.", PROMPTS[place % 3]), TOKENS);
        wish["logprobs"] = json!(true);
        wish["top_logprobs"] = json!(5);
        wish
    };
    let read = |folded: &Folded| steps(&folded.only().logprobs);
    let calm = Gateway::builder().parallel(1).context(1024).start().await;
    let mut alone = Vec::new();
    for place in 0..4 {
        alone.push(read(&calm.http().chat_stream(&wish(&calm, place)).await));
    }
    drop(calm);
    let gateway = Gateway::builder()
        .parallel(4)
        .context(1024)
        .kv_layout("unified")
        .set("GATEWAY_KV_CELLS", 1024)
        .start()
        .await;
    let wishes: Vec<Value> = (0..4).map(|place| wish(&gateway, place)).collect();
    let together = join_all(wishes.iter().map(|wish| gateway.http().chat_stream(wish)));
    let preempted = async {
        eventually!(gateway.load().await.running == 4, "all four run");
        // Nobody new comes: who waits now has given way.
        eventually!(gateway.load().await.waiting > 0, "someone gives way");
    };
    let (together, ()) = tokio::join!(together, preempted);
    for (reference, folded) in alone.iter().zip(&together) {
        let own = read(folded);
        assert_eq!(own.len(), TOKENS as usize, "everyone gets the whole answer");
        compare("preempted", reference, &own);
    }
}
