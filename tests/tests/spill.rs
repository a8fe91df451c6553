//! Conversations on disk: found again after a restart, right or not at all.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::golden::{SPLIT, Step, assert_same, steps};
use tests::requests::long_text;
use tests::{Gateway, eventually};

const PROMPT: &str = "Write a short story about a lighthouse keeper and a storm.";

/// What a gateway answers, and how many of the prompt's tokens it had.
async fn answer(gateway: &Gateway, prompt: &str) -> (Vec<Step>, u64) {
    let mut request = gateway.endless(prompt, 48);
    request["logprobs"] = json!(true);
    request["top_logprobs"] = json!(5);
    let whole = gateway.http().chat(&request).await;
    let entries = whole["choices"][0]["logprobs"]["content"].as_array().expect("entries").clone();
    (steps(&entries), cached(&whole["usage"]))
}

fn cached(usage: &Value) -> u64 {
    usage["prompt_tokens_details"]["cached_tokens"].as_u64().expect("a count")
}

/// The answer of a gateway that has computed nothing before.
async fn undisturbed() -> Vec<Step> {
    let gateway = Gateway::builder().parallel(1).context(1024).start().await;
    answer(&gateway, PROMPT).await.0
}

fn spilling() -> tests::Builder {
    Gateway::builder().parallel(2).context(1024).set("GATEWAY_SPILL_MIB", 256)
}

/// The files of spilled sequences, whole ones.
fn spilled(gateway: &Gateway) -> Vec<PathBuf> {
    let Ok(models) = std::fs::read_dir(gateway.data().join("kv")) else { return Vec::new() };
    let files = models.flatten().filter_map(|model| std::fs::read_dir(model.path()).ok());
    let files = files.flatten().flatten().map(|file| file.path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "kv")).collect()
}

#[tokio::test]
async fn after_a_restart_the_answer_is_the_undisturbed_one_on_what_was_kept() {
    let reference = undisturbed().await;
    let mut first = spilling().start().await;
    assert_eq!(answer(&first, PROMPT).await.1, 0);
    first.terminate();
    assert_eq!(first.exited().await, Some(0));
    assert_eq!(spilled(&first).len(), 1, "shutdown keeps it; the log:\n{}", first.log());
    let second = spilling().after(&first).start().await;
    let (own, cached) = answer(&second, PROMPT).await;
    assert!(cached > 0, "the prefix comes from disk; the log:\n{}", second.log());
    assert_same("restored", SPLIT, &reference, &own);
}

#[tokio::test]
async fn what_was_idle_outlives_a_process_that_is_killed() {
    let reference = undisturbed().await;
    let first = spilling().set("GATEWAY_SPILL_AFTER", "50ms").start().await;
    answer(&first, PROMPT).await;
    eventually!(spilled(&first).len() == 1, "what is idle goes to disk");
    let builder = spilling().after(&first);
    drop(first);
    let second = builder.start().await;
    let (own, cached) = answer(&second, PROMPT).await;
    assert!(cached > 0, "the prefix comes from disk; the log:\n{}", second.log());
    assert_same("restored", SPLIT, &reference, &own);
}

#[tokio::test]
async fn what_memory_has_no_room_for_comes_back_from_disk() {
    let reference = undisturbed().await;
    // Host memory for less than one of these answers, and slots for two of them.
    let gateway = spilling().set("GATEWAY_PREFIX_CACHE_MIB", 1).start().await;
    answer(&gateway, PROMPT).await;
    for other in 0..4 {
        answer(&gateway, &format!("{other} is a number. Tell me about it.")).await;
    }
    let (own, cached) = answer(&gateway, PROMPT).await;
    assert!(cached > 30, "more than the system message that all share: {cached}");
    assert_same("restored", SPLIT, &reference, &own);
}

#[tokio::test]
async fn a_damaged_file_is_computed_again() {
    let reference = undisturbed().await;
    // In the head, in the middle and in the last byte.
    for place in [|_| 50, |length| length / 2, |length: usize| length - 1] {
        let mut first = spilling().start().await;
        answer(&first, PROMPT).await;
        first.terminate();
        assert_eq!(first.exited().await, Some(0));
        let files = spilled(&first);
        assert_eq!(files.len(), 1);
        let mut bytes = std::fs::read(&files[0]).expect("the file reads");
        let at = place(bytes.len());
        bytes[at] ^= 1;
        std::fs::write(&files[0], bytes).expect("the file is written");
        let second = spilling().after(&first).start().await;
        let (own, cached) = answer(&second, PROMPT).await;
        assert_eq!(cached, 0, "nothing of a damaged file is used");
        assert_same("computed again", SPLIT, &reference, &own);
        eventually!(!files[0].exists(), "the damaged file is removed");
    }
}

#[tokio::test]
async fn turned_off_nothing_is_written_and_what_was_there_is_removed() {
    let mut first = spilling().start().await;
    answer(&first, PROMPT).await;
    first.terminate();
    assert_eq!(first.exited().await, Some(0));
    let mut second = Gateway::builder().parallel(2).context(1024).after(&first).start().await;
    assert_eq!(spilled(&second).len(), 0);
    assert_eq!(answer(&second, PROMPT).await.1, 0);
    second.terminate();
    assert_eq!(second.exited().await, Some(0));
    assert_eq!(spilled(&second).len(), 0);
}

/// Prints the time to the first token of a prompt of 1,000 tokens: computed, and brought back after a restart.
#[tokio::test]
#[ignore = "a measurement: cargo nextest run --release -p tests --test spill --run-ignored only --no-capture"]
async fn measure_restored_against_computed() {
    const ROUNDS: usize = 7;
    let builder = || {
        Gateway::builder()
            .parallel(1)
            .context(2048)
            .set("GATEWAY_SPILL_MIB", 1024)
            .set("GATEWAY_SPILL_AFTER", "50ms")
    };
    let prompt = |number: usize| format!("{number} {}", long_text(970));
    let mut first = builder().start().await;
    for round in 0..ROUNDS {
        first_token(&first, &prompt(round)).await;
        eventually!(spilled(&first).len() == round + 1, "it goes to disk");
    }
    first.terminate();
    assert_eq!(first.exited().await, Some(0));
    let second = builder().after(&first).start().await;
    first_token(&second, "Hello.").await;
    let (mut computed, mut restored, mut lengths) = (Vec::new(), Vec::new(), (0, 0));
    for round in 0..ROUNDS {
        let (time, tokens, _) = first_token(&second, &prompt(100 + round)).await;
        computed.push(time);
        lengths.0 = tokens;
        let (time, tokens, cached) = first_token(&second, &prompt(round)).await;
        assert!(cached * 10 > tokens * 9, "{cached} of {tokens} tokens came from disk");
        restored.push(time);
        lengths.1 = cached;
    }
    computed.sort();
    restored.sort();
    let (slow, fast) = (computed[ROUNDS / 2], restored[ROUNDS / 2]);
    let ratio = slow.as_secs_f64() / fast.as_secs_f64();
    tell(&format!("computed {computed:?}"));
    tell(&format!("restored {restored:?}"));
    tell(&format!(
        "{} tokens computed in {slow:?}, {} restored in {fast:?}: {ratio:.1} times",
        lengths.0, lengths.1
    ));
    assert!(ratio >= 5.0, "restoring is to be five times faster: {ratio}");
}

#[expect(clippy::print_stderr, reason = "the measurement is the point")]
fn tell(measured: &str) {
    eprintln!("{measured}");
}

/// The time to the first token, the prompt's tokens and how many were there.
async fn first_token(gateway: &Gateway, prompt: &str) -> (Duration, u64, u64) {
    let request = gateway.endless(prompt, 1);
    let start = Instant::now();
    let whole = gateway.http().chat(&request).await;
    let time = start.elapsed();
    (time, whole["usage"]["prompt_tokens"].as_u64().expect("a count"), cached(&whole["usage"]))
}
