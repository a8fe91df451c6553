//! A response request, checked: every field is honoured, has no effect on the answer, or is refused by name.

use openapi::message::{
    FunctionDefinition, FunctionName, NamedToolChoice, ResponseFormat, Tool, ToolChoice, ToolMode,
};
use openapi::responses::{
    ConversationRef, Item, Reasoning, Response, ResponseRequest, ResponseStatus, ResponseTool,
    ResponseToolChoice, TextConfig, TextFormat,
};
use serde_json::Value;

use super::items;
use crate::api::generation::fields::{
    self, integer, invalid, missing, name, only, refuse, unsupported, unsupported_value,
};
use crate::api::generation::sampling::{self, SamplingFields};
use crate::api::generation::tools;
use crate::api::payload;
use crate::conversation::{Link, ids};
use crate::engine::{ChatPrompt, GenerationRequest, Prompt};
use crate::error::ApiError;

const LOGPROBS: &str = "message.output_text.logprobs";

/// What a response request comes down to.
#[derive(Debug)]
pub struct ResponsePlan {
    /// The response before it is made, but for its time.
    pub response: Response,
    /// For its engine, but for its messages.
    pub request: GenerationRequest,
    /// What is said, without ids.
    pub input: Vec<Item>,
    /// What it goes on from.
    pub link: Link,
    /// Whether it is to be kept; not said, it is up to what the caller may do.
    pub store: Option<bool>,
    /// Leave the oldest turns out where the context is longer than the window.
    pub truncate: bool,
    /// Answer as events.
    pub stream: bool,
}

/// Parses and checks the bytes of a body. Whatever they are, it returns.
pub fn parse(bytes: &[u8]) -> Result<ResponsePlan, ApiError> {
    ResponsePlan::check(payload::parse(bytes)?)
}

impl ResponsePlan {
    /// Checks a request.
    pub fn check(mut asked: ResponseRequest) -> Result<Self, ApiError> {
        if asked.model.is_empty() {
            return Err(missing("model"));
        }
        refuse_unsupported(&asked)?;
        fields::metadata(asked.metadata.as_ref())?;
        let input = items::input(asked.input.take())?;
        let link = link(&mut asked)?;
        let sampling = SamplingFields::from(&asked).check()?;
        let max_tokens = integer("max_output_tokens", asked.max_output_tokens, 1..=u32::MAX)?;
        let logprobs = logprobs(&asked)?;
        sampling::stream_options(asked.stream, asked.stream_options)?;
        let truncate = fields::truncation(asked.truncation.as_deref())?;
        let text = asked.text.take().unwrap_or_default();
        let format = format(&text)?;
        let listed = asked.tools.take().unwrap_or_default();
        let tools = chat_tools(&listed)?;
        let tool_choice = tools::check(&tools, chat_choice(asked.tool_choice.as_ref())?, "")?;
        let parallel_tool_calls = asked.parallel_tool_calls.unwrap_or(true);
        if asked.background == Some(true) && asked.store == Some(false) {
            return Err(invalid("background", "what nobody waits for must be kept: leave 'store' out."));
        }
        let prompt = ChatPrompt { messages: Vec::new(), tools, tool_choice, parallel_tool_calls };
        let request = GenerationRequest {
            prompt: Prompt::Chat(prompt),
            sampling,
            max_tokens,
            stop: Vec::new(),
            choices: 1,
            logprobs,
            format,
            wire: None,
        };
        let (store, stream) = (asked.store, asked.stream == Some(true));
        let response = unmade(asked, listed, text, max_tokens, logprobs.unwrap_or_default());
        Ok(Self { response, request, input, link, store, truncate, stream })
    }
}

/// The response before it is made.
fn unmade(
    asked: ResponseRequest,
    tools: Vec<ResponseTool>,
    text: TextConfig,
    max_output_tokens: Option<u32>,
    top_logprobs: u8,
) -> Response {
    Response {
        id: ids::fresh("resp"),
        object: "response".to_owned(),
        created_at: 0,
        status: ResponseStatus::InProgress,
        completed_at: None,
        error: None,
        incomplete_details: None,
        instructions: asked.instructions,
        max_output_tokens,
        model: asked.model,
        output: Vec::new(),
        parallel_tool_calls: asked.parallel_tool_calls.unwrap_or(true),
        previous_response_id: asked.previous_response_id,
        conversation: asked.conversation.map(|conversation| {
            let id = conversation.into_id();
            openapi::responses::ConversationId { id }
        }),
        reasoning: Reasoning::default(),
        store: false,
        background: asked.background == Some(true),
        temperature: asked.temperature.unwrap_or(1.0),
        top_p: asked.top_p.unwrap_or(1.0),
        top_logprobs,
        text: TextConfig { format: Some(text.format.unwrap_or_default()), ..text },
        tool_choice: asked.tool_choice.unwrap_or(ResponseToolChoice::Mode(ToolMode::Auto)),
        tools,
        truncation: asked.truncation.unwrap_or_else(|| "disabled".to_owned()),
        truncated_items: None,
        usage: None,
        user: asked.user,
        metadata: asked.metadata.unwrap_or_default(),
        // There is one tier; an answer names it where the request did.
        service_tier: asked.service_tier.map(|_| "default".to_owned()),
    }
}

/// Fields that would change the answer and cannot be honoured.
fn refuse_unsupported(asked: &ResponseRequest) -> Result<(), ApiError> {
    refuse("prompt", asked.prompt.as_ref(), "is not supported: there are no stored prompts here.")?;
    refuse(
        "max_tool_calls",
        asked.max_tool_calls.as_ref(),
        "is not supported: there are no built-in tools here.",
    )?;
    only("service_tier", asked.service_tier.as_deref(), &["auto", "default"])?;
    let asks_effort = |reasoning: &Value| {
        reasoning.as_object().is_none_or(|fields| fields.values().any(|value| !value.is_null()))
    };
    if asked.reasoning.as_ref().is_some_and(asks_effort) {
        return Err(unsupported(
            "reasoning",
            "is not supported with this model: its effort is not adjustable.",
        ));
    }
    let verbosity = asked.text.as_ref().and_then(|text| text.verbosity.as_deref());
    only("text.verbosity", verbosity, &["medium"])
}

fn link(asked: &mut ResponseRequest) -> Result<Link, ApiError> {
    let id = |param: &str, id: &str| {
        if ids::is_id(id) { Ok(id.to_owned()) } else { Err(invalid(param, "this is no id.")) }
    };
    match (&asked.conversation, &asked.previous_response_id) {
        (Some(_), Some(_)) => Err(invalid(
            "previous_response_id",
            "it cannot be used together with 'conversation'. Send only one of them.",
        )),
        (Some(ConversationRef::Id(conversation)), None) => {
            Ok(Link::Conversation(id("conversation", conversation)?))
        }
        (Some(ConversationRef::Object(conversation)), None) => {
            Ok(Link::Conversation(id("conversation.id", &conversation.id)?))
        }
        (None, Some(previous)) => Ok(Link::Previous(id("previous_response_id", previous)?)),
        (None, None) => Ok(Link::None),
    }
}

fn logprobs(asked: &ResponseRequest) -> Result<Option<u8>, ApiError> {
    let mut included = false;
    for (place, wanted) in asked.include.iter().flatten().enumerate() {
        if wanted != LOGPROBS {
            let advice = format!("does only support '{LOGPROBS}' here.");
            return Err(unsupported_value(&format!("include[{place}]"), advice));
        }
        included = true;
    }
    let top = integer("top_logprobs", asked.top_logprobs, 0..=20)?.and_then(|top| u8::try_from(top).ok());
    match (included, top) {
        (true, top) => Ok(Some(top.unwrap_or_default())),
        (false, Some(1..)) => {
            Err(invalid("top_logprobs", format!("it is only allowed with '{LOGPROBS}' in 'include'.")))
        }
        (false, _) => Ok(None),
    }
}

fn format(text: &TextConfig) -> Result<ResponseFormat, ApiError> {
    match &text.format {
        None | Some(TextFormat::Text) => Ok(ResponseFormat::Text),
        Some(TextFormat::JsonObject) => Ok(ResponseFormat::JsonObject),
        Some(TextFormat::JsonSchema(schema)) => {
            name("text.format.name", &schema.name)?;
            match &schema.schema {
                None => return Err(missing("text.format.schema")),
                Some(schema) if schema.is_object() || schema.is_boolean() => {}
                Some(_) => return Err(invalid("text.format.schema", "a JSON schema is an object.")),
            }
            Ok(ResponseFormat::JsonSchema { json_schema: schema.clone() })
        }
    }
}

fn chat_tools(tools: &[ResponseTool]) -> Result<Vec<Tool>, ApiError> {
    let one = |(place, tool): (usize, &ResponseTool)| {
        if tool.kind != "function" {
            let advice = format!("'{}' is not supported: only functions can be called here.", tool.kind);
            return Err(unsupported_value(&format!("tools[{place}].type"), advice));
        }
        Ok(Tool {
            kind: tool.kind.clone(),
            function: FunctionDefinition {
                name: tool.name.clone(),
                description: tool.description.clone(),
                parameters: tool.parameters.clone().filter(|parameters| !parameters.is_null()),
                strict: tool.strict,
            },
        })
    };
    tools.iter().enumerate().map(one).collect()
}

fn chat_choice(choice: Option<&ResponseToolChoice>) -> Result<Option<ToolChoice>, ApiError> {
    Ok(match choice {
        None => None,
        Some(ResponseToolChoice::Mode(mode)) => Some(ToolChoice::Mode(*mode)),
        Some(ResponseToolChoice::Named { kind, name }) if kind == "function" => {
            Some(ToolChoice::Named(NamedToolChoice {
                kind: kind.clone(),
                function: FunctionName { name: name.clone() },
            }))
        }
        Some(ResponseToolChoice::Named { .. }) => {
            return Err(unsupported_value("tool_choice.type", "does only support 'function'."));
        }
    })
}
