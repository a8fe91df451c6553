//! Speculation changes when tokens come, not which: the same requests to a gateway with it and to one without.
//!
//! Rows of one batch are computed bit by bit as they are alone, up to 256 tokens of a sequence; past that llama.cpp
//! computes the attention of a lone row of 16-bit or 32-bit cells by another kernel, which adds in another order
//! (`tests::golden`). Cells of 8 bits know one kernel only, so with them long texts are compared to the byte too.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking; counts are whole")]

use serde_json::{Value, json};
use tests::golden::{RESHAPED, UNIFIED, assert_same, steps};
use tests::metrics::Metrics;
use tests::{Builder, Gateway};

const TEXTS: [&str; 4] = [
    "The old lighthouse stands on a narrow cliff above the bay. Every evening the keeper climbs two hundred steps to light the lamp.",
    "Anna sells apples, pears and plums at the market in Bergen. Her brother Olaf drives the red van and counts the coins.",
    "The train to the north leaves at nine. It stops in two small towns, crosses the long bridge and reaches the coast at noon.",
    "A blue bird built a nest in the letter box. The postman waited three weeks and put the letters on the garden wall.",
];

const TASKS: [&str; 4] = [
    "Repeat the following text word for word.\n\n{}",
    "{}\n\nRewrite the text above exactly as it is, but in the past tense.",
    "{}\n\nReturn the text above as JSON with an array \"sentences\".",
    "Copy this text twice:\n\n{}",
];

const QUESTIONS: [&str; 16] = [
    "Why is the sky blue?",
    "Write a short story about a fox.",
    "List the planets of the solar system.",
    "What is a prime number?",
    "Count from one to thirty.",
    "Write a poem about rain.",
    "How do I boil an egg?",
    "Name ten animals.",
    "What is the capital of France?",
    "Explain gravity to a child.",
    "Write a Python function that adds two numbers.",
    "Give me three tips for better sleep.",
    "What happened in the year 1969?",
    "Describe a market in the morning.",
    "Write the alphabet.",
    "Say hello in five languages.",
];

/// Requests whose sequences stay below 256 tokens.
fn prompts() -> Vec<String> {
    let tasks = TASKS.iter().flat_map(|task| TEXTS.iter().map(|text| task.replace("{}", text)));
    tasks.chain(QUESTIONS.map(str::to_owned)).collect()
}

async fn pair(build: impl Fn(Builder) -> Builder) -> [Gateway; 2] {
    let start = |how: &str| {
        build(Gateway::builder()).parallel(4).context(1024).set("GATEWAY_SPECULATION", how).start()
    };
    [start("lookup").await, start("off").await]
}

/// Tokens drafted and accepted so far.
async fn drafts(gateway: &Gateway) -> (f64, f64) {
    let metrics = Metrics::read(&gateway.http().get("/metrics").await.text());
    let count = |outcome| metrics.count("model_draft_tokens_total", &[("outcome", outcome)]);
    (count("drafted"), count("accepted"))
}

/// What a client may compare: everything but names and times.
fn said(answer: &Value) -> Value {
    json!([answer["choices"], answer["usage"]["completion_tokens"]])
}

async fn assert_equal(gateways: &[Gateway; 2], label: &str, request: &Value) {
    let [with, without] = gateways;
    let drafted = said(&with.http().chat(request).await);
    assert_eq!(drafted, said(&without.http().chat(request).await), "{label}");
}

#[tokio::test]
async fn greedy_answers_are_the_same_to_the_byte() {
    let gateways = pair(|builder| builder).await;
    for prompt in prompts() {
        assert_equal(&gateways, &prompt, &gateways[0].endless(&prompt, 96)).await;
    }
    let (drafted, accepted) = drafts(&gateways[0]).await;
    // How much is drafted depends on what rows cost on this machine at this moment.
    assert!(accepted > 0.0 && drafted >= accepted, "{accepted} of {drafted}");
    assert_eq!(drafts(&gateways[1]).await, (0.0, 0.0));
}

#[tokio::test]
async fn drawn_answers_are_the_same_to_the_byte_for_the_same_seed() {
    let gateways = pair(|builder| builder).await;
    for (seed, prompt) in prompts().iter().enumerate().step_by(2) {
        let mut request = gateways[0].endless(prompt, 80);
        request["temperature"] = json!(0.7);
        request["top_p"] = json!(0.9);
        request["frequency_penalty"] = json!(0.1);
        request["seed"] = json!(seed);
        assert_equal(&gateways, prompt, &request).await;
    }
    assert!(drafts(&gateways[0]).await.1 > 0.0);
}

#[tokio::test]
async fn log_probabilities_choices_stops_and_ends_are_the_same() {
    let gateways = pair(|builder| builder).await;
    for text in TEXTS {
        let prompt = TASKS[0].replace("{}", text);
        let mut request = gateways[0].ask(&prompt);
        request["max_tokens"] = json!(60);
        assert_equal(&gateways, "its own end", &request).await;
        request["logprobs"] = json!(true);
        request["top_logprobs"] = json!(3);
        assert_equal(&gateways, "log-probabilities", &request).await;
        request["stop"] = json!([" the"]);
        assert_equal(&gateways, "a stop string", &request).await;
        request["stop"] = json!(null);
        request["n"] = json!(3);
        request["temperature"] = json!(0.5);
        request["seed"] = json!(7);
        assert_equal(&gateways, "choices", &request).await;
    }
    for limit in 1..24 {
        let request = gateways[0].endless(&TASKS[0].replace("{}", TEXTS[0]), limit);
        assert_equal(&gateways, "a limit", &request).await;
    }
}

#[tokio::test]
async fn constrained_answers_are_the_same_and_valid() {
    let gateways = pair(|builder| builder).await;
    let schema = json!({
        "type": "object",
        "properties": {"sentences": {"type": "array", "items": {"type": "string", "maxLength": 90}, "minItems": 2, "maxItems": 2}},
        "required": ["sentences"],
        "additionalProperties": false,
    });
    for text in TEXTS {
        let mut request = gateways[0].ask(&TASKS[2].replace("{}", text));
        request["max_tokens"] = json!(120);
        request["response_format"] = json!({
            "type": "json_schema", "json_schema": {"name": "text", "strict": true, "schema": schema},
        });
        assert_equal(&gateways, text, &request).await;
        let answer = gateways[0].http().chat(&request).await;
        if answer["choices"][0]["finish_reason"] == "stop" {
            let content = answer["choices"][0]["message"]["content"].as_str().unwrap_or_default();
            tests::requests::assert_validates(&schema, content);
        }
    }
    assert!(drafts(&gateways[0]).await.1 > 0.0);
}

#[tokio::test]
async fn a_conversation_goes_on_from_what_was_accepted() {
    let gateways = pair(|builder| builder).await;
    let mut request = gateways[0].endless(&TASKS[0].replace("{}", TEXTS[1]), 40);
    for turn in 0..3 {
        let [with, without] =
            [gateways[0].http().chat(&request).await, gateways[1].http().chat(&request).await];
        assert_eq!(said(&with), said(&without), "turn {turn}");
        if turn > 0 {
            assert_eq!(
                with["usage"]["prompt_tokens_details"], without["usage"]["prompt_tokens_details"],
                "what is kept is as long as without drafts"
            );
        }
        let mut messages = request["messages"].as_array().cloned().unwrap_or_default();
        messages.push(with["choices"][0]["message"].clone());
        messages.push(json!({"role": "user", "content": "Again."}));
        request["messages"] = json!(messages);
        request["max_tokens"] = json!(20);
    }
}

#[tokio::test]
async fn long_greedy_answers_are_the_same_with_cells_that_have_one_kernel() {
    let gateways = pair(|builder| builder.set("GATEWAY_KV_TYPE", "q8_0")).await;
    for task in TASKS {
        let prompt = task.replace("{}", &TEXTS.join(" "));
        assert_equal(&gateways, &prompt, &gateways[0].endless(&prompt, 300)).await;
    }
    assert!(drafts(&gateways[0]).await.1 > 0.0);
}

#[tokio::test]
async fn long_greedy_answers_and_those_of_a_unified_cache_are_the_same_up_to_rounding() {
    for (layout, bound) in [("split", RESHAPED), ("unified", UNIFIED)] {
        let [with, without] = pair(|builder| builder.kv_layout(layout)).await;
        for task in TASKS {
            let mut request = with.endless(&task.replace("{}", &TEXTS.join(" ")), 240);
            request["logprobs"] = json!(true);
            request["top_logprobs"] = json!(5);
            let drafted = with.http().chat_stream(&request).await;
            let plain = without.http().chat_stream(&request).await;
            let agreement =
                assert_same(layout, bound, &steps(&plain.only().logprobs), &steps(&drafted.only().logprobs));
            tell(&format!("{layout}: {agreement:?}"));
        }
        assert!(drafts(&with).await.1 > 0.0);
    }
}

#[expect(clippy::print_stderr, reason = "the measurement is the point")]
fn tell(measured: &str) {
    eprintln!("{measured}");
}
