//! The tools of a chat and the choice among them.

use std::collections::HashSet;

use openapi::message::{Tool, ToolChoice, ToolMode};

use crate::api::generation::fields::{at_most, invalid, name, unsupported_value};
use crate::error::ApiError;

const MAX_TOOLS: usize = 128;

/// Checks the tools, and that the choice can be met. Returns the choice, `auto` where there is none.
///
/// `inside` is what stands between a tool and its function's fields in the request: `function.` in a chat.
pub(crate) fn check(
    tools: &[Tool],
    choice: Option<ToolChoice>,
    inside: &str,
) -> Result<ToolChoice, ApiError> {
    at_most("tools", tools.len(), MAX_TOOLS)?;
    let mut names = HashSet::with_capacity(tools.len());
    for (index, tool) in tools.iter().enumerate() {
        check_one(&format!("tools[{index}]"), tool, inside)?;
        if !names.insert(tool.function.name.as_str()) {
            let problem = format!("the name '{}' is given twice.", tool.function.name);
            return Err(invalid(&format!("tools[{index}].{inside}name"), problem));
        }
    }
    let choice = choice.unwrap_or(ToolChoice::Mode(ToolMode::Auto));
    match &choice {
        ToolChoice::Mode(ToolMode::Required) if tools.is_empty() => {
            Err(invalid("tool_choice", "'required' is only allowed when 'tools' are specified."))
        }
        ToolChoice::Named(chosen) if chosen.kind != "function" => {
            Err(unsupported_value("tool_choice.type", "does only support 'function'."))
        }
        ToolChoice::Named(chosen) if !names.contains(chosen.function.name.as_str()) => {
            let problem = format!("there is no tool '{}' in 'tools'.", chosen.function.name);
            Err(invalid("tool_choice", problem))
        }
        ToolChoice::Mode(_) | ToolChoice::Named(_) => Ok(choice),
    }
}

fn check_one(place: &str, tool: &Tool, inside: &str) -> Result<(), ApiError> {
    if tool.kind != "function" {
        return Err(unsupported_value(&format!("{place}.type"), "does only support 'function'."));
    }
    name(&format!("{place}.{inside}name"), &tool.function.name)?;
    match &tool.function.parameters {
        Some(parameters) if !parameters.is_object() => {
            Err(invalid(&format!("{place}.{inside}parameters"), "a JSON schema of arguments is an object."))
        }
        _ => Ok(()),
    }
}
