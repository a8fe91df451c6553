//! The messages of a chat: who may say what.

use openapi::message::{Content, Message, Part, Role};

use crate::api::generation::fields::{invalid, missing, unsupported_value};
use crate::error::ApiError;

/// Checks every message; the first that is wrong is named by its place.
pub(super) fn check(messages: &[Message]) -> Result<(), ApiError> {
    if messages.is_empty() {
        let problem = "empty array. Expected an array with minimum length 1, but got an empty array instead.";
        return Err(invalid("messages", problem).with_code("empty_array"));
    }
    messages
        .iter()
        .enumerate()
        .try_for_each(|(index, message)| check_one(&format!("messages[{index}]"), message))
}

fn check_one(place: &str, message: &Message) -> Result<(), ApiError> {
    if message.role == Role::Function {
        let advice = "does not support 'function': it is deprecated. Use 'tool' messages instead.";
        return Err(unsupported_value(&format!("{place}.role"), advice));
    }
    let calls = message.tool_calls.as_deref().unwrap_or_default();
    if !calls.is_empty() && message.role != Role::Assistant {
        return Err(invalid(&format!("{place}.tool_calls"), "only assistant messages have tool calls."));
    }
    if let Some(position) = calls.iter().position(|call| call.kind != "function") {
        let param = format!("{place}.tool_calls[{position}].type");
        return Err(unsupported_value(&param, "does only support 'function'."));
    }
    if message.role == Role::Tool && message.tool_call_id.is_none() {
        return Err(missing(&format!("{place}.tool_call_id")));
    }
    let content = format!("{place}.content");
    match &message.content {
        Some(Content::Parts(parts)) => check_parts(&content, message.role, parts),
        None if message.role != Role::Assistant => Err(missing(&content)),
        None if calls.is_empty() && message.refusal.is_none() => {
            Err(invalid(&content, "it may only be null where an assistant message has tool calls."))
        }
        Some(Content::Text(_)) | None => Ok(()),
    }
}

fn check_parts(content: &str, role: Role, parts: &[Part]) -> Result<(), ApiError> {
    if parts.is_empty() {
        return Err(invalid(content, "expected at least one content part.").with_code("empty_array"));
    }
    for (index, part) in parts.iter().enumerate() {
        let kind = match part {
            Part::Text { .. } => continue,
            Part::Refusal { .. } if role == Role::Assistant => continue,
            Part::Refusal { .. } => {
                return Err(invalid(
                    &format!("{content}[{index}].type"),
                    "only assistant messages hold refusals.",
                ));
            }
            Part::ImageUrl { .. } => "image_url",
            Part::InputAudio { .. } => "input_audio",
            Part::File { .. } => "file",
        };
        let advice = format!("does not support '{kind}': this model reads text only.");
        return Err(unsupported_value(&format!("{content}[{index}].type"), advice));
    }
    Ok(())
}
