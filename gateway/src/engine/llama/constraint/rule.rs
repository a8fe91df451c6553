//! What a request demands of its answer's shape, before any grammar.

use openapi::message::{JsonSchemaFormat, ResponseFormat, ToolChoice, ToolMode};
use serde_json::{Value, json};

use super::ConstraintError;
use crate::engine::ChatPrompt;
use crate::engine::llama::output::{OutputStyle, ReasoningMarks, ToolFormat};

/// The shape an answer must have.
#[derive(Debug, Clone, PartialEq)]
pub struct ConstraintRule {
    /// What the answer itself must be.
    pub answer: Answer,
    /// The calls it may or must hold.
    pub calls: Option<CallRule>,
    /// Reasoning before all of it, and whether the prompt has opened it.
    pub reasoning: Option<(ReasoningMarks, bool)>,
}

/// What the text of an answer must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Anything.
    Free,
    /// A JSON object.
    JsonObject,
    /// JSON that validates.
    JsonSchema(Value),
    /// Nothing: only calls.
    None,
}

/// How calls must be written.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRule {
    /// The model's way.
    pub format: ToolFormat,
    /// Each function with the schema of its arguments.
    pub functions: Vec<(String, Value)>,
    /// Whether several may come.
    pub parallel: bool,
}

impl ConstraintRule {
    /// No constraint at all.
    pub fn free() -> Self {
        Self { answer: Answer::Free, calls: None, reasoning: None }
    }

    /// Only a format, for a prompt that is no chat.
    pub fn format(format: &ResponseFormat) -> Self {
        Self { answer: answer(format), ..Self::free() }
    }
}

/// The rule of a chat whose answer will be in `style`.
pub fn rule_for(
    style: &OutputStyle,
    chat: &ChatPrompt,
    format: &ResponseFormat,
) -> Result<ConstraintRule, ConstraintError> {
    let answer = answer(format);
    let reasoning = style.reasoning.clone().map(|marks| (marks, style.begins_in_reasoning));
    let required = match &chat.tool_choice {
        ToolChoice::Mode(ToolMode::None) => return Ok(ConstraintRule { answer, calls: None, reasoning }),
        ToolChoice::Mode(ToolMode::Auto) => false,
        ToolChoice::Mode(ToolMode::Required) | ToolChoice::Named(_) => true,
    };
    let named = match &chat.tool_choice {
        ToolChoice::Named(choice) => Some(choice.function.name.as_str()),
        ToolChoice::Mode(_) => None,
    };
    let chosen: Vec<_> =
        chat.tools.iter().filter(|tool| named.is_none_or(|name| tool.function.name == name)).collect();
    if required && chosen.is_empty() {
        let message = match named {
            Some(name) => format!("tool_choice names the function {name}, which is not among tools"),
            None => "tool_choice is required, but there are no tools".to_owned(),
        };
        return Err(ConstraintError::refused("tool_choice", message));
    }
    let strict = chosen.iter().any(|tool| tool.function.strict == Some(true));
    let calls_matter = required || strict || answer != Answer::Free;
    let calls = style.tools.as_ref().filter(|_| calls_matter && !chosen.is_empty()).map(|tools| {
        let schema = |tool: &&openapi::message::Tool| {
            // Where the model is free to call, only a strict schema was promised to hold.
            let enforced = required || tool.function.strict == Some(true);
            let schema = tool.function.parameters.clone().filter(|_| enforced);
            (tool.function.name.clone(), schema.unwrap_or_else(any_object))
        };
        CallRule {
            format: tools.format,
            functions: chosen.iter().map(schema).collect(),
            parallel: tools.parallel && named.is_none(),
        }
    });
    let answer = if required { Answer::None } else { answer };
    Ok(ConstraintRule { answer, calls, reasoning })
}

fn answer(format: &ResponseFormat) -> Answer {
    match format {
        ResponseFormat::Text => Answer::Free,
        ResponseFormat::JsonObject
        | ResponseFormat::JsonSchema { json_schema: JsonSchemaFormat { schema: None, .. } } => {
            Answer::JsonObject
        }
        ResponseFormat::JsonSchema { json_schema: JsonSchemaFormat { schema: Some(schema), .. } } => {
            Answer::JsonSchema(schema.clone())
        }
    }
}

pub(super) fn any_object() -> Value {
    json!({"type": "object"})
}
