//! Text completions on the wire: OpenAI's older interface, without messages.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::chat::{FinishReason, NumberMap, Stop, StreamOptions};
use crate::usage::Usage;

/// A text completion request. `null` means absent for every optional field; fields not named here are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CompletionRequest {
    /// The model's name, as `GET /v1/models` lists it.
    #[schemars(length(min = 1))]
    pub model: String,
    /// What to go on from.
    pub prompt: PromptInput,
    /// Answer as server-sent events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Only with `stream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    /// The most tokens a completion may have, default 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<i64>,
    /// 0–2, default 1; 0 always takes the likeliest token.
    #[schemars(range(min = 0, max = 2))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Above 0 up to 1, default 1: draws from the likeliest tokens that together have this probability.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// How many completions of each prompt, default 1.
    #[schemars(range(min = 1, max = 128))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<i64>,
    /// Only the same number as `n`: completions are not ranked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_of: Option<i64>,
    /// Put the prompt before the completion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo: Option<bool>,
    /// Refused: text is not inserted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// Up to 4 strings that end the completion and are not part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// Makes draws repeatable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// 0–5: report the log-probability of each token and of that many alternatives.
    #[schemars(range(min = 0, max = 5))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<i64>,
    /// From token id to a number, -100–100, that is added to its logit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logit_bias: Option<NumberMap>,
    /// -2–2, default 0: penalty for each time a token occurred.
    #[schemars(range(min = -2, max = 2))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// -2–2, default 0: penalty for a token that occurred.
    #[schemars(range(min = -2, max = 2))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// The caller's name for its end user. Has no effect on the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,

    /// Extension: keep only the `k` likeliest tokens; 0 (the default) is off.
    #[schemars(range(min = 0, max = 4_294_967_295_u32))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<i64>,
    /// Extension, 0–1: keep tokens at least this share as likely as the likeliest; 0 (the default) is off.
    #[schemars(range(min = 0, max = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
    /// Extension, 0.01–100: llama.cpp's penalty on tokens seen; 1 (the default) is off.
    #[schemars(range(min = 0.01, max = 100.0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_penalty: Option<f64>,
}

/// A text, several, the tokens of one, or the tokens of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a string, an array of strings, an array of tokens or an array of token arrays"
)]
pub enum PromptInput {
    /// One text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// The tokens of one prompt.
    Tokens(Vec<u32>),
    /// The tokens of several prompts.
    TokenLists(Vec<Vec<u32>>),
}

/// A whole answer, and each event of a streamed one (`object`: `text_completion` in both).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Completion {
    /// `cmpl-…`.
    pub id: String,
    /// Always `text_completion`.
    pub object: String,
    /// When it was made, seconds since the Unix epoch.
    pub created: u64,
    /// The model that answered.
    pub model: String,
    /// Changes when the same seed may give other answers.
    pub system_fingerprint: String,
    /// `n` for each prompt, in the prompts' order.
    pub choices: Vec<CompletionChoice>,
    /// Tokens of all choices together; in a stream only as `stream_options.include_usage` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// One completion, or what it gained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CompletionChoice {
    /// The text.
    pub text: String,
    /// Position among the choices.
    pub index: u32,
    /// The tokens' log-probabilities, where asked for.
    pub logprobs: Option<CompletionLogprobs>,
    /// Why it ended; `null` until a streamed choice's last chunk.
    pub finish_reason: Option<FinishReason>,
    /// The stop string that ended it, where one did, as vLLM tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<String>,
}

/// Log-probabilities in the older format: lists of one length.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CompletionLogprobs {
    /// The tokens' texts; bytes that are no text are written `bytes:\x..`.
    pub tokens: Vec<String>,
    /// Natural logarithms of their probabilities.
    pub token_logprobs: Vec<f32>,
    /// The likeliest tokens in each place.
    pub top_logprobs: Vec<BTreeMap<String, f32>>,
    /// Where each token begins, in characters of the text.
    pub text_offset: Vec<u32>,
}
