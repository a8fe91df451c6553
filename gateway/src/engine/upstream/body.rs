//! A generation's request as the body of OpenAI's operations, for servers that have them.
//!
//! Always streamed and with the usage, so that there is one way of reading answers. Temperature and nucleus are always
//! said, for servers have defaults of their own; what else was left at OpenAI's default is left out, for not every
//! server knows it.

use bytes::Bytes;
use openapi::message::{Message, ResponseFormat, Tool, ToolChoice, ToolMode};
use serde::{Serialize, Serializer};

use crate::engine::{ChatPrompt, EngineError, GenerationRequest, Operation, Prompt, Sampling};

/// What is asked of a server in another way than of most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `max_tokens`, which every server understands.
    Common,
    /// `max_completion_tokens`, without which OpenAI's own newer models refuse a request.
    OpenAi,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<&'a [Message]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<RawPrompt<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<&'a [Tool]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'a ToolChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(flatten)]
    sampling: Drawing<'a>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Scores>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<&'a ResponseFormat>,
    stream: bool,
    stream_options: StreamOptions,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// What a text completion goes on from.
#[derive(Serialize)]
#[serde(untagged)]
enum RawPrompt<'a> {
    Text(&'a str),
    Tokens(&'a [u32]),
}

/// A chat says whether it wants log-probabilities, a text how many.
#[derive(Serialize)]
#[serde(untagged)]
enum Scores {
    Wanted(bool),
    Top(u8),
}

/// The sampling fields that are said.
#[derive(Serialize)]
struct Drawing<'a> {
    temperature: f32,
    top_p: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f32>,
    /// llama.cpp's name of it, and vLLM's.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f32>,
    #[serde(skip_serializing_if = "<[(u32, f32)]>::is_empty", serialize_with = "as_map")]
    logit_bias: &'a [(u32, f32)],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
}

/// The operation that answers a request, and the body to send to it.
pub(super) fn write(
    model: &str,
    request: &GenerationRequest,
    dialect: Dialect,
) -> Result<(Operation, Bytes), EngineError> {
    let chat = match &request.prompt {
        Prompt::Chat(chat) => Some(chat),
        Prompt::Text(_) | Prompt::Tokens(_) => None,
    };
    let (asked, is_chat) = (Tools::of(chat), chat.is_some());
    let newer = is_chat && dialect == Dialect::OpenAi;
    let body = Body {
        model,
        messages: chat.map(|chat| chat.messages.as_slice()),
        prompt: match &request.prompt {
            Prompt::Chat(_) => None,
            Prompt::Text(text) => Some(RawPrompt::Text(text)),
            Prompt::Tokens(tokens) => Some(RawPrompt::Tokens(tokens)),
        },
        tools: asked.list,
        tool_choice: asked.choice,
        parallel_tool_calls: asked.parallel,
        max_tokens: request.max_tokens.filter(|_| !newer),
        max_completion_tokens: request.max_tokens.filter(|_| newer),
        sampling: Drawing::of(&request.sampling),
        stop: &request.stop,
        n: (request.choices != 1).then_some(request.choices),
        logprobs: request.logprobs.map(|top| if is_chat { Scores::Wanted(true) } else { Scores::Top(top) }),
        top_logprobs: request.logprobs.filter(|top| is_chat && *top > 0),
        response_format: Some(&request.format).filter(|format| **format != ResponseFormat::Text),
        stream: true,
        stream_options: StreamOptions { include_usage: true },
    };
    let operation = if is_chat { Operation::Chat } else { Operation::Completion };
    match serde_json::to_vec(&body) {
        Ok(bytes) => Ok((operation, bytes.into())),
        // Strings as keys and finite numbers: there is no such error.
        Err(error) => Err(EngineError::Failed(error.to_string())),
    }
}

/// The tools of a chat; nothing is said of them where there are none.
#[derive(Default)]
struct Tools<'a> {
    list: Option<&'a [Tool]>,
    choice: Option<&'a ToolChoice>,
    parallel: Option<bool>,
}

impl<'a> Tools<'a> {
    fn of(chat: Option<&'a ChatPrompt>) -> Self {
        let Some(chat) = chat.filter(|chat| !chat.tools.is_empty()) else { return Self::default() };
        let is_default = chat.tool_choice == ToolChoice::Mode(ToolMode::Auto);
        Self {
            list: Some(&chat.tools),
            choice: (!is_default).then_some(&chat.tool_choice),
            parallel: (!chat.parallel_tool_calls).then_some(false),
        }
    }
}

impl<'a> Drawing<'a> {
    fn of(sampling: &'a Sampling) -> Self {
        let default = Sampling::default();
        #[expect(clippy::float_cmp, reason = "it is the default, or it was said")]
        let said = |value: f32, default: f32| (value != default).then_some(value);
        let repeat_penalty = said(sampling.repeat_penalty, default.repeat_penalty);
        Self {
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            top_k: (sampling.top_k != default.top_k).then_some(sampling.top_k),
            min_p: said(sampling.min_p, default.min_p),
            repeat_penalty,
            repetition_penalty: repeat_penalty,
            frequency_penalty: said(sampling.frequency_penalty, default.frequency_penalty),
            presence_penalty: said(sampling.presence_penalty, default.presence_penalty),
            logit_bias: &sampling.logit_bias,
            seed: sampling.seed.map(u64::cast_signed),
        }
    }
}

fn as_map<S: Serializer>(biases: &[(u32, f32)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(biases.iter().map(|(token, bias)| (token, bias)))
}

#[cfg(test)]
pub(in crate::engine) mod tests {
    use openapi::message::{Content, Role};
    use serde_json::{Value, json};

    use super::*;

    /// The least that a chat asks for.
    pub(in crate::engine) fn ask(text: &str) -> GenerationRequest {
        let message = Message {
            role: Role::User,
            content: Some(Content::Text(text.to_owned())),
            name: None,
            tool_calls: None,
            tool_call_id: None,
            refusal: None,
            reasoning_content: None,
        };
        let prompt = ChatPrompt {
            messages: vec![message],
            tools: Vec::new(),
            tool_choice: ToolChoice::Mode(ToolMode::Auto),
            parallel_tool_calls: true,
        };
        GenerationRequest {
            prompt: Prompt::Chat(prompt),
            sampling: Sampling::default(),
            max_tokens: None,
            stop: Vec::new(),
            choices: 1,
            logprobs: None,
            format: ResponseFormat::Text,
            wire: None,
        }
    }

    fn body(dialect: Dialect, change: impl FnOnce(&mut GenerationRequest)) -> Value {
        let mut request = ask("Hi");
        change(&mut request);
        let (_, bytes) = write("m", &request, dialect).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn only_what_was_said_is_passed_on() {
        let expected = json!({
            "model": "m", "messages": [{"role": "user", "content": "Hi"}], "temperature": 1.0, "top_p": 1.0,
            "stream": true, "stream_options": {"include_usage": true},
        });
        assert_eq!(body(Dialect::Common, |_| {}), expected);
    }

    #[test]
    fn everything_that_was_said_is_passed_on() {
        let schema = json!({"type": "object"});
        let tool = json!({"type": "function", "function": {"name": "f", "parameters": schema}});
        let body = body(Dialect::Common, |request| {
            let Prompt::Chat(chat) = &mut request.prompt else { panic!("it is a chat") };
            chat.tools = vec![serde_json::from_value(tool.clone()).unwrap()];
            chat.tool_choice = ToolChoice::Mode(ToolMode::Required);
            chat.parallel_tool_calls = false;
            request.max_tokens = Some(7);
            request.stop = vec!["a".to_owned()];
            (request.choices, request.logprobs, request.format) = (2, Some(3), ResponseFormat::JsonObject);
            let sampling = &mut request.sampling;
            (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) = (0.7, 0.5, 40, 0.25);
            (sampling.repeat_penalty, sampling.frequency_penalty) = (1.5, 0.5);
            (sampling.presence_penalty, sampling.seed) = (-0.5, Some(u64::MAX));
            sampling.logit_bias = vec![(50, -100.0)];
        });
        let expected = json!({
            "model": "m", "messages": [{"role": "user", "content": "Hi"}], "tools": [tool],
            "tool_choice": "required", "parallel_tool_calls": false, "max_tokens": 7, "stop": ["a"], "n": 2,
            "logprobs": true, "top_logprobs": 3, "response_format": {"type": "json_object"}, "temperature": 0.7,
            "top_p": 0.5, "top_k": 40, "min_p": 0.25, "repeat_penalty": 1.5, "repetition_penalty": 1.5,
            "frequency_penalty": 0.5, "presence_penalty": -0.5, "logit_bias": {"50": -100.0}, "seed": -1,
            "stream": true, "stream_options": {"include_usage": true},
        });
        assert_eq!(body.to_string().len(), expected.to_string().len(), "{body}");
        assert_eq!(body, expected);
    }

    #[test]
    fn a_text_says_how_many_log_probabilities_and_openai_how_many_tokens() {
        let text = body(Dialect::OpenAi, |request| {
            request.prompt = Prompt::Tokens(vec![1, 2]);
            (request.logprobs, request.max_tokens) = (Some(2), Some(3));
        });
        assert_eq!((&text["prompt"], &text["logprobs"]), (&json!([1, 2]), &json!(2)));
        assert_eq!((&text["max_tokens"], text.get("messages")), (&json!(3), None));
        let chat = body(Dialect::OpenAi, |request| request.max_tokens = Some(3));
        assert_eq!((chat.get("max_tokens"), &chat["max_completion_tokens"]), (None, &json!(3)));
    }
}
