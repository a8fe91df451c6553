//! What is asked: the scenarios, and the requests each is made of.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::passages::Passage;
use crate::prompts::Words;

/// A pattern of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// Short prompts that share nothing.
    Short,
    /// One long system prompt common to all requests, cold at the start, and a short question each.
    SharedPrefix,
    /// Conversations that grow by an answer and a question a turn.
    Conversation,
    /// Short prompts, and every fourth a long one.
    Mixed,
    /// Short prompts whose answers must follow a JSON schema.
    JsonSchema,
    /// One long prompt arrives while streams are running.
    LongArrival,
    /// First token with a prefix that is cold, computed, or being computed at the moment.
    PrefixReuse,
    /// More conversations than slots take turns, one request at a time; the history is sent again each time.
    Turns,
    /// The same, where the server keeps the history (`conversation`).
    StoredTurns,
    /// Answers that repeat a text of the prompt.
    Repeat,
    /// Answers that repeat it with another word in places.
    Edit,
    /// Answers that put it into JSON.
    JsonFromText,
    /// Questions that are answered freely.
    Question,
}

impl fmt::Display for Scenario {
    /// The name that the command line takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// Which operation is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Endpoint {
    /// `/chat/completions`
    Chat,
    /// `/completions`
    Completions,
}

/// How tokens are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Draw {
    /// Temperature 0.
    Greedy,
    /// `OpenAI`'s default, temperature 1 and `top_p` 1, with a server's own further cuts (`top_k`, `min_p`) switched
    /// off by name, so that both servers draw from the same distribution.
    Default,
    /// Temperature 1 and `top_p` 1, as an `OpenAI` client sends them; a server may cut further by its own defaults.
    Bare,
}

/// The shape of a measurement; every part of it stands in the results.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Shape {
    /// Operation to call.
    #[arg(long, value_enum, default_value_t = Endpoint::Chat)]
    pub(crate) endpoint: Endpoint,
    /// How tokens are drawn.
    #[arg(long, value_enum, default_value_t = Draw::Greedy)]
    pub(crate) sampling: Draw,
    /// Length of every answer.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) max_tokens: u32,
    /// Tokens that end an answer, forbidden by `logit_bias` so that all answers are equally long (default: those of
    /// the `SmolLM2` family; an empty string forbids none).
    #[arg(long, default_value = "0,2")]
    pub(crate) forbid: String,
    /// Tokens of a short prompt.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=32_768))]
    pub(crate) prompt_tokens: u32,
    /// Tokens of the shared prefix.
    #[arg(long, default_value_t = 450, value_parser = clap::value_parser!(u32).range(1..=32_768))]
    pub(crate) prefix_tokens: u32,
    /// Tokens of a long prompt in `mixed`.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=32_768))]
    pub(crate) long_tokens: u32,
    /// Tokens of the prompt that arrives in `long-arrival`.
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..=32_768))]
    pub(crate) arrival_tokens: u32,
    /// Tokens of the text that `repeat`, `edit` and `json-from-text` say again: keep it above `--max-tokens`.
    #[arg(long, default_value_t = 144, value_parser = clap::value_parser!(u32).range(1..=32_768))]
    pub(crate) passage_tokens: u32,
    /// Turns of a conversation.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) turns: u32,
}

/// Which kind of request in its scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Class {
    /// Short prompt.
    Short,
    /// Long prompt.
    Long,
}

/// Requests that one user makes one after the other, each holding the answers before it.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// Which kind.
    pub(crate) class: Class,
    /// Instructions before all turns.
    pub(crate) system: Option<String>,
    /// What the user says, turn by turn.
    pub(crate) turns: VecDeque<String>,
    /// Whether the answers must follow the schema.
    pub(crate) schema: bool,
    /// Seed of the draws.
    pub(crate) seed: u64,
}

/// The scripts of a scenario for so many users; none for the scenarios that are not loads.
pub(crate) fn scripts(
    scenario: Scenario,
    shape: &Shape,
    users: u32,
    each: u32,
    seed: u64,
) -> VecDeque<Script> {
    let prefix = Words::new(seed, 1).text(shape.prefix_tokens);
    let mut words = Words::new(seed, 2);
    let count = if scenario == Scenario::Conversation { users } else { users.saturating_mul(each) };
    let turns = if scenario == Scenario::Conversation { shape.turns } else { 1 };
    let mut scripts = VecDeque::new();
    for index in 0..count {
        // The first of the four is short, so that the long ones never lead.
        let long = scenario == Scenario::Mixed && index % 4 == 3;
        let length = if long { shape.long_tokens } else { shape.prompt_tokens };
        scripts.push_back(Script {
            class: if long { Class::Long } else { Class::Short },
            system: (scenario == Scenario::SharedPrefix).then(|| prefix.clone()),
            turns: (0..turns).map(|_| turn(scenario, shape, &mut words, length)).collect(),
            schema: scenario == Scenario::JsonSchema,
            seed: u64::from(index),
        });
    }
    scripts
}

/// What a user says in one turn.
fn turn(scenario: Scenario, shape: &Shape, words: &mut Words, length: u32) -> String {
    if scenario == Scenario::Question {
        return words.question();
    }
    if !matches!(scenario, Scenario::Repeat | Scenario::Edit | Scenario::JsonFromText) {
        return words.text(length);
    }
    let Passage { text, thing } = words.passage(shape.passage_tokens);
    match scenario {
        Scenario::Edit => {
            format!(
                "{text}\n\nRewrite the text above exactly as it is, but write \"castle\" instead of \"{thing}\"."
            )
        }
        Scenario::JsonFromText => {
            format!(
                "{text}\n\nReturn the text above as JSON with one array \"sentences\" that holds each sentence."
            )
        }
        _ => format!("Repeat the following text word for word.\n\n{text}"),
    }
}

/// A conversation so far: who said what.
pub(crate) type Messages = Vec<(&'static str, String)>;

impl Shape {
    /// The path of the operation below the base path.
    pub(crate) fn path(&self) -> &'static str {
        match self.endpoint {
            Endpoint::Chat => "/chat/completions",
            Endpoint::Completions => "/completions",
        }
    }

    /// A streamed request's body.
    pub(crate) fn body(&self, model: &str, messages: &Messages, ask: Ask<'_>) -> Bytes {
        let mut body = Map::new();
        body.insert("model".to_owned(), json!(model));
        match self.endpoint {
            Endpoint::Chat => {
                let list: Vec<Value> =
                    messages.iter().map(|(role, text)| json!({"role": role, "content": text})).collect();
                body.insert("messages".to_owned(), json!(list));
            }
            Endpoint::Completions => {
                let texts: Vec<&str> = messages.iter().map(|(_, text)| text.as_str()).collect();
                body.insert("prompt".to_owned(), json!(texts.join("\n\n")));
            }
        }
        body.insert("stream".to_owned(), json!(true));
        body.insert("stream_options".to_owned(), json!({"include_usage": true}));
        body.insert("max_tokens".to_owned(), json!(ask.max_tokens));
        // OpenAI's seed is a signed 64-bit number.
        body.insert("seed".to_owned(), json!(ask.seed & i64::MAX.unsigned_abs()));
        match self.sampling {
            Draw::Greedy => {
                body.insert("temperature".to_owned(), json!(0));
            }
            Draw::Bare => {
                body.insert("temperature".to_owned(), json!(1));
                body.insert("top_p".to_owned(), json!(1));
            }
            Draw::Default => {
                body.insert("temperature".to_owned(), json!(1));
                body.insert("top_p".to_owned(), json!(1));
                body.insert("top_k".to_owned(), json!(0));
                body.insert("min_p".to_owned(), json!(0));
            }
        }
        if let Some(id) = ask.conversation {
            body.insert("conversation".to_owned(), json!(id));
        }
        if ask.schema {
            body.insert("response_format".to_owned(), response_format());
        } else if let Some(bias) = self.bias() {
            body.insert("logit_bias".to_owned(), bias);
        }
        Value::Object(body).to_string().into()
    }

    fn bias(&self) -> Option<Value> {
        let ids = self.forbid.split(',').map(str::trim).filter(|id| id.parse::<u32>().is_ok());
        let bias: Map<String, Value> = ids.map(|id| (id.to_owned(), json!(-100))).collect();
        (!bias.is_empty()).then_some(Value::Object(bias))
    }
}

/// What differs from request to request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    /// Length of the answer.
    pub(crate) max_tokens: u32,
    /// Seed of the draws.
    pub(crate) seed: u64,
    /// Whether the answer must follow the schema.
    pub(crate) schema: bool,
    /// The stored conversation that the messages go on with.
    pub(crate) conversation: Option<&'a str>,
}

/// A schema whose shortest answer is longer than any that is measured, so that no answer ends early.
fn response_format() -> Value {
    let person = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer"},
            "city": {"enum": ["Oslo", "Lima", "Cairo", "Osaka"]},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 3}
        },
        "required": ["name", "age", "city", "tags"],
        "additionalProperties": false
    });
    let schema = json!({
        "type": "object",
        "properties": {"people": {"type": "array", "items": person, "minItems": 200}},
        "required": ["people"],
        "additionalProperties": false
    });
    json!({"type": "json_schema", "json_schema": {"name": "people", "strict": true, "schema": schema}})
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        shape: Shape,
    }

    fn shape(arguments: &[&str]) -> Shape {
        Line::try_parse_from([&["x"], arguments].concat()).unwrap().shape
    }

    fn body(shape: &Shape, schema: bool) -> Value {
        let messages = vec![("system", "be short".to_owned()), ("user", "hello".to_owned())];
        let bytes = shape.body("m", &messages, Ask { max_tokens: 64, seed: 1, schema, conversation: None });
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn every_answer_is_streamed_with_usage_and_equally_long() {
        let body = body(&shape(&[]), false);
        assert_eq!(body["max_tokens"], 64);
        assert_eq!(body["stream_options"]["include_usage"], true);
        assert_eq!(body["logit_bias"], json!({"0": -100, "2": -100}));
        assert_eq!(body["messages"][1], json!({"role": "user", "content": "hello"}));
        assert_eq!(body["temperature"], 0);
    }

    #[test]
    fn default_sampling_switches_a_servers_own_cuts_off_and_bare_does_not() {
        let pinned = body(&shape(&["--sampling", "default"]), false);
        assert_eq!((&pinned["temperature"], &pinned["top_k"]), (&json!(1), &json!(0)));
        let bare = body(&shape(&["--sampling", "bare"]), false);
        assert_eq!((&bare["top_p"], &bare["top_k"]), (&json!(1), &Value::Null));
    }

    #[test]
    fn a_schema_takes_the_place_of_forbidden_tokens() {
        let body = body(&shape(&[]), true);
        assert_eq!(body["logit_bias"], Value::Null);
        assert_eq!(body["response_format"]["json_schema"]["strict"], true);
    }

    #[test]
    fn a_completion_joins_the_messages() {
        let shape = shape(&["--endpoint", "completions", "--forbid", ""]);
        let body = body(&shape, false);
        assert_eq!(body["prompt"], "be short\n\nhello");
        assert_eq!(body["logit_bias"], Value::Null);
    }

    #[test]
    fn every_fourth_prompt_of_mixed_is_long() {
        let all = scripts(Scenario::Mixed, &shape(&[]), 4, 2, 1);
        let classes: Vec<Class> = all.iter().map(|script| script.class).collect();
        let four = [Class::Short, Class::Short, Class::Short, Class::Long];
        assert_eq!(classes, [four, four].concat());
    }

    #[test]
    fn a_shared_prefix_is_common_to_all_and_new_with_each_seed() {
        let one = scripts(Scenario::SharedPrefix, &shape(&[]), 2, 1, 1);
        let two = scripts(Scenario::SharedPrefix, &shape(&[]), 2, 1, 2);
        assert_eq!(one[0].system, one[1].system);
        assert_ne!(one[0].turns, one[1].turns);
        assert_ne!(one[0].system, two[0].system);
    }

    #[test]
    fn texts_to_say_again_are_new_in_each_request_and_longer_than_the_answer() {
        for scenario in [Scenario::Repeat, Scenario::Edit, Scenario::JsonFromText] {
            let all = scripts(scenario, &shape(&[]), 2, 2, 1);
            assert_eq!(all.len(), 4);
            assert_ne!(all[0].turns, all[1].turns);
            assert!(all.iter().all(|script| script.turns[0].split(' ').count() > 100), "{all:?}");
        }
    }

    #[test]
    fn a_conversation_is_one_script_a_user() {
        let all = scripts(Scenario::Conversation, &shape(&[]), 3, 5, 1);
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|script| script.turns.len() == 4));
    }
}
