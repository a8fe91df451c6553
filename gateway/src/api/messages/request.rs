//! A Messages request, checked: every field is honoured, has no effect on the answer, or is refused by name.

use openapi::message::{JsonSchemaFormat, ResponseFormat};
use openapi::messages::{CountTokensRequest, MessagesRequest, OutputConfig, OutputFormat, ThinkingConfig};

use super::prompt::{self, Said};
use crate::api::generation::fields::{
    at_most, decimal, integer, invalid, missing, only, refuse, unsupported,
};
use crate::api::generation::sampling::SamplingFields;
use crate::api::payload;
use crate::engine::{ChatPrompt, GenerationRequest, Prompt, Sampling};
use crate::error::ApiError;

/// Strings that may end an answer. Each costs a little once, none at a token.
const MAX_STOPS: usize = 64;

/// What a Messages request comes down to.
#[derive(Debug)]
pub struct MessagesPlan {
    /// The model asked for.
    pub model: String,
    /// For its engine.
    pub request: GenerationRequest,
    /// Answer as events.
    pub stream: bool,
    /// What the model thought is part of the answer.
    pub shows_thinking: bool,
}

/// Parses and checks the bytes of a body. Whatever they are, it returns.
pub fn parse(bytes: &[u8]) -> Result<MessagesPlan, ApiError> {
    MessagesPlan::check(payload::parse(bytes)?)
}

impl MessagesPlan {
    /// Checks a request.
    pub fn check(asked: MessagesRequest) -> Result<Self, ApiError> {
        if asked.model.is_empty() {
            return Err(missing("model"));
        }
        refuse_unsupported(&asked)?;
        // `metadata` and `cache_control` are accepted and say nothing of the answer.
        let sampling = sampling(&asked)?;
        let max_tokens = integer("max_tokens", Some(asked.max_tokens), 1..=u32::MAX)?;
        let stop = stops(asked.stop_sequences)?;
        let shows_thinking = shows_thinking(asked.thinking.as_ref())?;
        let format = format(asked.output_config)?;
        let prompt = prompt::prompt(Said {
            messages: asked.messages,
            system: asked.system,
            tools: asked.tools.unwrap_or_default(),
            tool_choice: asked.tool_choice,
        })?;
        let request = GenerationRequest { sampling, max_tokens, stop, format, ..shortest(prompt) };
        Ok(Self { model: asked.model, request, stream: asked.stream == Some(true), shows_thinking })
    }
}

/// The model and the prompt of what is to be counted.
pub(super) fn to_count(asked: CountTokensRequest) -> Result<(String, ChatPrompt), ApiError> {
    if asked.model.is_empty() {
        return Err(missing("model"));
    }
    let prompt = prompt::prompt(Said {
        messages: asked.messages,
        system: asked.system,
        tools: asked.tools.unwrap_or_default(),
        tool_choice: asked.tool_choice,
    })?;
    Ok((asked.model, prompt))
}

/// A request for one answer of any length.
pub(super) fn shortest(prompt: ChatPrompt) -> GenerationRequest {
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

/// Fields that would change the answer and cannot be honoured.
fn refuse_unsupported(asked: &MessagesRequest) -> Result<(), ApiError> {
    refuse("container", asked.container.as_ref(), "is not supported: there are no containers here.")?;
    refuse(
        "mcp_servers",
        asked.mcp_servers.as_ref(),
        "is not supported: there are no tools here that the server runs.",
    )?;
    refuse(
        "context_management",
        asked.context_management.as_ref(),
        "is not supported: nothing is cut out of a conversation here.",
    )?;
    refuse("inference_geo", asked.inference_geo.as_ref(), "is not supported: there is one place.")?;
    only("speed", asked.speed.as_deref(), &["standard"])?;
    only("service_tier", asked.service_tier.as_deref(), &["auto", "standard_only"])
}

fn sampling(asked: &MessagesRequest) -> Result<Sampling, ApiError> {
    // Narrower than OpenAI's.
    decimal("temperature", asked.temperature, 0.0..=1.0)?;
    SamplingFields::from(asked).check()
}

fn stops(sequences: Option<Vec<String>>) -> Result<Vec<String>, ApiError> {
    let sequences = sequences.unwrap_or_default();
    at_most("stop_sequences", sequences.len(), MAX_STOPS)?;
    match sequences.iter().position(String::is_empty) {
        Some(place) => {
            Err(invalid(&format!("stop_sequences[{place}]"), "a stop sequence must not be empty."))
        }
        None => Ok(sequences),
    }
}

/// Whether what the model thought is shown. How much it thinks is its own.
fn shows_thinking(thinking: Option<&ThinkingConfig>) -> Result<bool, ApiError> {
    let advice = match thinking {
        None => return Ok(true),
        Some(ThinkingConfig::Disabled {}) => return Ok(false),
        Some(ThinkingConfig::Adaptive { display }) => {
            only("thinking.display", display.as_deref(), &["summarized"])?;
            return Ok(true);
        }
        Some(ThinkingConfig::Enabled {}) => {
            "of type 'enabled' is not supported: a budget cannot be kept here."
        }
        Some(ThinkingConfig::BetweenTools {}) => "of type 'between_tools' is not supported with this model.",
    };
    Err(unsupported("thinking", format!("{advice} Leave it out, or send 'adaptive' or 'disabled'.")))
}

fn format(config: Option<OutputConfig>) -> Result<ResponseFormat, ApiError> {
    let OutputConfig { effort, format } = config.unwrap_or_default();
    only("output_config.effort", effort.as_deref(), &["high"])?;
    let Some(OutputFormat::JsonSchema { schema }) = format else { return Ok(ResponseFormat::Text) };
    if !schema.is_object() {
        return Err(invalid("output_config.format.schema", "a JSON schema is an object."));
    }
    let json_schema = JsonSchemaFormat {
        name: "answer".to_owned(),
        description: None,
        schema: Some(schema),
        strict: Some(true),
    };
    Ok(ResponseFormat::JsonSchema { json_schema })
}
