//! A chat request, checked: every field is honoured, has no effect on the answer, or is refused by name.

use openapi::chat::ChatRequest;
use openapi::message::ResponseFormat;

use openapi::responses::ConversationRef;

use super::messages;
use crate::api::generation::fields::{
    self, integer, invalid, missing, name, only, refuse, unsupported_value,
};
use crate::api::generation::sampling::{self, SamplingFields};
use crate::api::generation::tools;
use crate::api::payload;
use crate::engine::{ChatPrompt, GenerationRequest, Prompt};
use crate::error::ApiError;
use crate::stream::StreamShape;

/// What a chat request comes down to.
#[derive(Debug)]
pub struct ChatPlan {
    /// The model asked for.
    pub model: String,
    /// For its engine.
    pub request: GenerationRequest,
    /// Answer as events.
    pub stream: bool,
    /// What the answer looks like.
    pub shape: StreamShape,
    /// The conversation that the chat goes on from and is added to.
    pub conversation: Option<String>,
    /// Leave the oldest turns out where the chat is longer than the window.
    pub truncate: bool,
    /// The tier the answer names, where the request did.
    pub service_tier: Option<String>,
}

/// Parses and checks the bytes of a body. Whatever they are, it returns.
pub fn parse(bytes: &[u8]) -> Result<ChatPlan, ApiError> {
    ChatPlan::check(payload::parse(bytes)?)
}

impl ChatPlan {
    /// Checks a request.
    pub fn check(chat: ChatRequest) -> Result<Self, ApiError> {
        if chat.model.is_empty() {
            return Err(missing("model"));
        }
        refuse_unsupported(&chat)?;
        // `user`, `metadata`, `store` and `prediction` are accepted and say nothing of the answer.
        fields::metadata(chat.metadata.as_ref())?;
        messages::check(&chat.messages)?;
        let sampling = SamplingFields::from(&chat).check()?;
        let max_tokens = max_tokens(&chat)?;
        let logprobs = logprobs(&chat)?;
        let choices = sampling::choices(chat.n)?;
        let include_usage = sampling::stream_options(chat.stream, chat.stream_options)?;
        if chat.conversation.is_some() && choices > 1 {
            return Err(invalid("n", "a conversation goes on in one way: it must be 1."));
        }
        let truncate = fields::truncation(chat.truncation.as_deref())?;
        let tools = chat.tools.unwrap_or_default();
        let prompt = ChatPrompt {
            tool_choice: tools::check(&tools, chat.tool_choice, "function.")?,
            tools,
            messages: chat.messages,
            parallel_tool_calls: chat.parallel_tool_calls.unwrap_or(true),
        };
        Ok(Self {
            model: chat.model,
            request: GenerationRequest {
                prompt: Prompt::Chat(prompt),
                sampling,
                max_tokens,
                stop: sampling::stops(chat.stop)?,
                choices,
                logprobs,
                format: format(chat.response_format)?,
                wire: None,
            },
            stream: chat.stream == Some(true),
            shape: StreamShape { choices, logprobs: logprobs.is_some(), include_usage },
            conversation: chat.conversation.map(ConversationRef::into_id),
            truncate,
            // There is one tier; an answer names it where the request did.
            service_tier: chat.service_tier.map(|_| "default".to_owned()),
        })
    }
}

/// Fields that would change the answer and cannot be honoured.
fn refuse_unsupported(chat: &ChatRequest) -> Result<(), ApiError> {
    refuse(
        "functions",
        chat.functions.as_ref(),
        "is deprecated and not supported here. Use 'tools' instead.",
    )?;
    refuse(
        "function_call",
        chat.function_call.as_ref(),
        "is deprecated and not supported here. Use 'tool_choice' instead.",
    )?;
    refuse("audio", chat.audio.as_ref(), "is not supported with this model: it answers in text only.")?;
    refuse(
        "web_search_options",
        chat.web_search_options.as_ref(),
        "is not supported: there is no web search here.",
    )?;
    refuse("reasoning_effort", chat.reasoning_effort.as_ref(), "is not supported with this model.")?;
    let modalities = chat.modalities.as_deref().unwrap_or_default();
    if modalities.iter().any(|modality| modality != "text") {
        return Err(unsupported_value("modalities", "does only support [\"text\"] with this model."));
    }
    only("verbosity", chat.verbosity.as_deref(), &["medium"])?;
    only("service_tier", chat.service_tier.as_deref(), &["auto", "default"])
}

fn max_tokens(chat: &ChatRequest) -> Result<Option<u32>, ApiError> {
    let newer = integer("max_completion_tokens", chat.max_completion_tokens, 1..=u32::MAX)?;
    let older = integer("max_tokens", chat.max_tokens, 1..=u32::MAX)?;
    match (newer, older) {
        (Some(newer), Some(older)) if newer != older => {
            Err(invalid("max_tokens", "it differs from 'max_completion_tokens'. Set only one of them."))
        }
        (newer, older) => Ok(newer.or(older)),
    }
}

fn logprobs(chat: &ChatRequest) -> Result<Option<u8>, ApiError> {
    let top = integer("top_logprobs", chat.top_logprobs, 0..=20)?;
    if chat.logprobs == Some(true) {
        return Ok(Some(top.and_then(|top| u8::try_from(top).ok()).unwrap_or_default()));
    }
    match top {
        Some(_) => Err(invalid("top_logprobs", "it is only allowed when 'logprobs' is enabled.")),
        None => Ok(None),
    }
}

fn format(format: Option<ResponseFormat>) -> Result<ResponseFormat, ApiError> {
    let format = format.unwrap_or(ResponseFormat::Text);
    if let ResponseFormat::JsonSchema { json_schema } = &format {
        name("response_format.json_schema.name", &json_schema.name)?;
        match &json_schema.schema {
            None => return Err(missing("response_format.json_schema.schema")),
            Some(schema) if schema.is_object() || schema.is_boolean() => {}
            Some(_) => {
                return Err(invalid("response_format.json_schema.schema", "a JSON schema is an object."));
            }
        }
    }
    Ok(format)
}
