//! The same prompt at temperature 0 gives the same tokens, whatever happens beside it.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::golden::{Agreement, Bound, RESHAPED, SPLIT, Step, UNIFIED, assert_same, steps};
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

/// Compares and prints what was measured, which is where the bounds come from.
fn compare(label: &str, bound: Bound, reference: &[Step], other: &[Step]) -> Agreement {
    let agreement = assert_same(label, bound, reference, other);
    tell(&format!("{label}: {agreement:?}"));
    agreement
}

#[expect(clippy::print_stderr, reason = "the measurement is the point")]
fn tell(measured: &str) {
    eprintln!("{measured}");
}

#[tokio::test]
async fn again_on_the_same_gateway_with_its_prefix_cached() {
    let references = references().await;
    let gateway = Gateway::builder().parallel(4).context(1024).start().await;
    for (prompt, reference) in PROMPTS.iter().zip(&references) {
        compare("first", SPLIT, reference, &answer(&gateway, prompt).await);
        let folded = gateway.http().chat(&request(&gateway, prompt)).await;
        let cached = folded["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().expect("a count");
        assert!(cached > 0, "the second time the prefix is there: {}", folded["usage"]);
        let entries = folded["choices"][0]["logprobs"]["content"].as_array().expect("entries").clone();
        compare("cached", SPLIT, reference, &steps(&entries));
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
    compare("forked", SPLIT, &references[1], &answer(&gateway, PROMPTS[1]).await);
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
        compare("crowd", SPLIT, reference, &own);
    }
}

#[tokio::test]
async fn beside_itself_sixteen_times() {
    let references = references().await;
    let gateway = Gateway::builder().parallel(16).context(1024).start().await;
    let answers = join_all((0..16).map(|_| answer(&gateway, PROMPTS[0]))).await;
    for own in &answers {
        compare("itself", SPLIT, &references[0], own);
    }
}

#[tokio::test]
async fn in_a_unified_cache_and_without_sharing() {
    let references = references().await;
    for (variable, value, bound) in
        [("GATEWAY_KV_LAYOUT", "unified", UNIFIED), ("GATEWAY_SHARE_PREFIX", "none", SPLIT)]
    {
        let gateway = Gateway::builder().parallel(4).context(1024).set(variable, value).start().await;
        for (prompt, reference) in PROMPTS.iter().zip(&references) {
            compare(value, bound, reference, &answer(&gateway, prompt).await);
            compare(value, bound, reference, &answer(&gateway, prompt).await);
        }
    }
}

#[tokio::test]
async fn while_a_long_prompt_is_prefilled_in_chunks() {
    let references = references().await;
    let gateway = Gateway::builder().parallel(4).context(2048).start().await;
    let intruder = async {
        eventually!(gateway.load().await.running == 1, "the answer has begun");
        intrude(&gateway).await
    };
    let (own, intruder) = tokio::join!(answer(&gateway, PROMPTS[2]), intruder);
    assert!(intruder.done);
    compare("intruder", SPLIT, &references[2], &own);
}

#[tokio::test]
async fn on_a_beginning_that_a_long_prompt_computes() {
    let references = references().await;
    for (prompt, reference) in PROMPTS.iter().zip(&references) {
        let gateway = Gateway::builder().parallel(4).context(2048).start().await;
        let own = async {
            eventually!(gateway.load().await.running == 1, "the long prompt has begun");
            answer(&gateway, prompt).await
        };
        let (intruder, own) = tokio::join!(intrude(&gateway), own);
        assert!(intruder.done);
        compare("borrowed", RESHAPED, reference, &own);
    }
}

/// A prompt of many chunks, whose beginning (the system message) every other prompt shares.
async fn intrude(gateway: &Gateway) -> Folded {
    let mut long = gateway.ask(&long_text(1500));
    long["max_tokens"] = json!(2);
    gateway.http().chat_stream(&long).await
}

#[tokio::test]
async fn after_being_preempted_for_want_of_kv() {
    // Alone each answer fits into the one pool, together they do not: some must give way and come back.
    const TOKENS: u32 = 160;
    let gateway = Gateway::builder()
        .parallel(4)
        .context(512)
        .kv_layout("unified")
        .set("GATEWAY_KV_CELLS", 512)
        .start()
        .await;
    let prompts: Vec<String> =
        (0..4).map(|place| format!("{} Begin with {place}.", PROMPTS[place % 3])).collect();
    let wishes: Vec<Value> = prompts
        .iter()
        .map(|prompt| {
            let mut wish = request(&gateway, prompt);
            wish["max_tokens"] = json!(TOKENS);
            wish
        })
        .collect();
    let together = join_all(wishes.iter().map(|wish| gateway.http().chat_stream(wish)));
    let preempted = async {
        eventually!(gateway.load().await.running == 4, "all four run");
        // Nobody new comes: who waits now has given way.
        eventually!(gateway.load().await.waiting > 0, "someone gives way");
    };
    let (together, ()) = tokio::join!(together, preempted);
    drop(gateway);
    let calm = Gateway::builder().parallel(1).context(512).start().await;
    for (prompt, folded) in prompts.iter().zip(&together) {
        let own = steps(&folded.only().logprobs);
        assert_eq!(own.len(), TOKENS as usize, "everyone gets the whole answer");
        assert_follows(&calm, prompt, &own).await;
    }
}

/// Asks, for many places of an answer, how an undisturbed gateway goes on from what was said up to there.
///
/// Two whole answers can only be compared up to their first difference, which may come before the preemption does.
async fn assert_follows(calm: &Gateway, prompt: &str, own: &[Step]) {
    let messages = json!({"model": calm.model(), "messages": [{"role": "user", "content": prompt}]});
    let tokens = calm.http().post("/v1/tokenize", &messages).await.ok();
    let asked = calm.http().post("/v1/detokenize", &json!({"tokens": tokens["tokens"]})).await.ok();
    let (mut compared, mut difference): (usize, f64) = (0, 0.0);
    for place in (5..own.len()).step_by(10) {
        let said: Vec<u8> = own[..place].iter().flat_map(|step| bytes(&step.token)).collect();
        let Ok(said) = String::from_utf8(said) else { continue };
        let mut next = calm.endless("", 1);
        next["prompt"] = json!(format!("{}{said}", asked["prompt"].as_str().expect("text")));
        next["logprobs"] = json!(5);
        let body = calm.http().post("/v1/completions", &next).await.ok();
        let count = tokens["count"].as_u64().expect("a count") + place as u64;
        if body["usage"]["prompt_tokens"] != count {
            // The text has a shorter spelling than the one that was drawn: another prefix.
            continue;
        }
        let logprobs = &body["choices"][0]["logprobs"];
        let written = String::from_utf8_lossy(&bytes(&own[place].token)).into_owned();
        let expected = logprobs["top_logprobs"][0][&written].as_f64();
        let expected = expected.unwrap_or_else(|| panic!("{written:?} at {place} is not near {logprobs}"));
        let best = logprobs["token_logprobs"][0].as_f64().expect("a logprob");
        difference = difference.max((own[place].logprob - expected).abs()).max(best - expected);
        assert!(difference <= UNIFIED.0, "{written:?} at {place} is {difference} off: {logprobs}");
        compared += 1;
    }
    tell(&format!("preempted: {compared} places, difference {difference}"));
    assert!(compared >= own.len() / 20, "only {compared} places could be compared");
}

fn bytes(token: &Value) -> Vec<u8> {
    token.as_array().into_iter().flatten().filter_map(|byte| u8::try_from(byte.as_u64()?).ok()).collect()
}
