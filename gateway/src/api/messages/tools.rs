//! The tools of a Messages request and the choice among them, as the engine has them.

use std::collections::HashSet;

use openapi::message::{FunctionDefinition, FunctionName, NamedToolChoice, Tool, ToolChoice, ToolMode};
use openapi::messages::{MessagesTool, MessagesToolChoice};

use crate::api::generation::fields::{at_most, invalid, missing, unsupported, unsupported_value};
use crate::error::ApiError;
use crate::error::rescue::shorten;

const MAX_TOOLS: usize = 128;
/// Longer than OpenAI's, as names of tools from several servers are.
const LONGEST_NAME: usize = 128;

/// Whether, which and how many tools are called.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    pub(super) tool_choice: ToolChoice,
    pub(super) parallel: bool,
}

/// Checks the tools, and that the choice can be met.
pub(super) fn check(
    tools: Vec<MessagesTool>,
    choice: Option<MessagesToolChoice>,
) -> Result<(Vec<Tool>, Choice), ApiError> {
    at_most("tools", tools.len(), MAX_TOOLS)?;
    let tools = tools
        .into_iter()
        .enumerate()
        .map(|(index, tool)| check_one(&format!("tools[{index}]"), tool))
        .collect::<Result<Vec<_>, _>>()?;
    let mut names = HashSet::with_capacity(tools.len());
    for (index, tool) in tools.iter().enumerate() {
        if !names.insert(tool.function.name.as_str()) {
            let problem = format!("the name '{}' is given twice.", tool.function.name);
            return Err(invalid(&format!("tools[{index}].name"), problem));
        }
    }
    let choice = check_choice(&names, choice)?;
    Ok((tools, choice))
}

fn check_one(place: &str, tool: MessagesTool) -> Result<Tool, ApiError> {
    if let Some(kind) = tool.kind.as_deref().filter(|kind| *kind != "custom") {
        let advice = format!("does not support '{}': tools run at the client here.", shorten(kind));
        return Err(unsupported_value(&format!("{place}.type"), advice));
    }
    check_name(&format!("{place}.name"), &tool.name)?;
    let schema = format!("{place}.input_schema");
    let parameters = tool.input_schema.ok_or_else(|| missing(&schema))?;
    if !parameters.is_object() {
        return Err(invalid(&schema, "a JSON schema of arguments is an object."));
    }
    if tool.defer_loading == Some(true) {
        let advice = "is not supported: all tools are shown to the model at once.";
        return Err(unsupported(&format!("{place}.defer_loading"), advice));
    }
    if tool.allowed_callers.iter().flatten().any(|caller| caller != "direct") {
        let advice = "does only support [\"direct\"]: only the model calls tools here.";
        return Err(unsupported_value(&format!("{place}.allowed_callers"), advice));
    }
    let function = FunctionDefinition {
        name: tool.name,
        description: tool.description,
        parameters: Some(parameters),
        strict: tool.strict,
    };
    Ok(Tool { kind: "function".to_owned(), function })
}

fn check_name(place: &str, name: &str) -> Result<(), ApiError> {
    if name.is_empty() {
        return Err(missing(place));
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.len() <= LONGEST_NAME && name.bytes().all(fits) {
        return Ok(());
    }
    let problem = "expected 1 to 128 of the characters a-z, A-Z, 0-9, '_' and '-'.";
    Err(invalid(place, problem))
}

fn check_choice(names: &HashSet<&str>, choice: Option<MessagesToolChoice>) -> Result<Choice, ApiError> {
    let (tool_choice, alone) = match choice {
        None => (ToolChoice::Mode(ToolMode::Auto), None),
        Some(MessagesToolChoice::None {}) => (ToolChoice::Mode(ToolMode::None), None),
        Some(MessagesToolChoice::Auto { disable_parallel_tool_use }) => {
            (ToolChoice::Mode(ToolMode::Auto), disable_parallel_tool_use)
        }
        Some(MessagesToolChoice::Any { .. }) if names.is_empty() => {
            return Err(invalid("tool_choice", "'any' is only allowed when 'tools' are specified."));
        }
        Some(MessagesToolChoice::Any { disable_parallel_tool_use }) => {
            (ToolChoice::Mode(ToolMode::Required), disable_parallel_tool_use)
        }
        Some(MessagesToolChoice::Tool { name, .. }) if !names.contains(name.as_str()) => {
            let problem = format!("there is no tool '{}' in 'tools'.", shorten(&name));
            return Err(invalid("tool_choice.name", problem));
        }
        Some(MessagesToolChoice::Tool { name, disable_parallel_tool_use }) => {
            let chosen = NamedToolChoice { kind: "function".to_owned(), function: FunctionName { name } };
            (ToolChoice::Named(chosen), disable_parallel_tool_use)
        }
    };
    Ok(Choice { tool_choice, parallel: alone != Some(true) })
}
