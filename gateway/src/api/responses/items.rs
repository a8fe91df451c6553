//! The items that a client sends, checked.

use openapi::message::Role;
use openapi::responses::{CallOutput, ContentPart, Input, Item, MessageItem, OutputText};
use serde_json::Value;

use crate::api::generation::fields::{at_most, invalid, missing, unsupported_value};
use crate::error::ApiError;
use crate::error::rescue::shorten;

/// Kinds that OpenAI has and this server does not: refused by their names.
const FUNCTIONS_ONLY: &str =
    "is not supported here: items are messages, function calls, their outputs, and reasoning.";

/// The items of an input.
pub(crate) fn input(input: Option<Input>) -> Result<Vec<Item>, ApiError> {
    match input {
        None => Err(missing("input")),
        Some(Input::Text(text)) => Ok(vec![Item::Message(MessageItem {
            id: String::new(),
            status: openapi::responses::ItemStatus::Completed,
            role: Role::User,
            content: vec![ContentPart::InputText { text }],
            name: None,
        })]),
        Some(Input::Items(items)) if items.is_empty() => {
            Err(invalid("input", "expected at least one item.").with_code("empty_array"))
        }
        Some(Input::Items(items)) => list("input", items),
    }
}

/// Items of a list with at most so many.
pub(crate) fn bounded(param: &str, items: Vec<Value>, most: usize) -> Result<Vec<Item>, ApiError> {
    at_most(param, items.len(), most)?;
    list(param, items)
}

fn list(param: &str, items: Vec<Value>) -> Result<Vec<Item>, ApiError> {
    items.into_iter().enumerate().map(|(place, item)| one(&format!("{param}[{place}]"), item)).collect()
}

fn one(place: &str, mut value: Value) -> Result<Item, ApiError> {
    let Some(fields) = value.as_object_mut() else {
        return Err(invalid(place, "an item is an object."));
    };
    let kind = fields.entry("type").or_insert_with(|| "message".into());
    match kind.as_str() {
        Some("message" | "function_call" | "function_call_output" | "reasoning") => {}
        Some("item_reference") => {
            let advice = "'item_reference' is not supported: name the conversation, or send the item itself.";
            return Err(unsupported_value(&format!("{place}.type"), advice));
        }
        Some(other) => {
            let advice = format!("'{}' {FUNCTIONS_ONLY}", shorten(other));
            return Err(unsupported_value(&format!("{place}.type"), advice));
        }
        None => return Err(invalid(&format!("{place}.type"), "the name of a kind of item is a string.")),
    }
    // What clients send back as they got it has `null` where there was nothing.
    fields.retain(|_, value| !value.is_null());
    let item: Item =
        serde_json::from_value(value).map_err(|error| invalid(place, shorten(&error.to_string())))?;
    check(place, item)
}

fn check(place: &str, mut item: Item) -> Result<Item, ApiError> {
    match &mut item {
        Item::Message(message) => {
            if matches!(message.role, Role::Tool | Role::Function) {
                let advice = "does not support this: what a call gave is a 'function_call_output'.";
                return Err(unsupported_value(&format!("{place}.role"), advice));
            }
            let assistant = message.role == Role::Assistant;
            if message.content.is_empty() {
                return Err(invalid(&format!("{place}.content"), "expected at least one content part."));
            }
            parts(&format!("{place}.content"), &mut message.content, assistant)?;
        }
        Item::FunctionCallOutput(output) => {
            if let CallOutput::Parts(list) = &mut output.output {
                parts(&format!("{place}.output"), list, false)?;
            }
        }
        Item::FunctionCall(_) | Item::Reasoning(_) => {}
    }
    Ok(item)
}

/// Text only; what the assistant said is output, whatever the client called it.
fn parts(place: &str, parts: &mut [ContentPart], assistant: bool) -> Result<(), ApiError> {
    for (index, part) in parts.iter_mut().enumerate() {
        let kind = match part {
            ContentPart::InputText { text } if assistant => {
                *part = ContentPart::OutputText(OutputText {
                    text: std::mem::take(text),
                    ..OutputText::default()
                });
                continue;
            }
            ContentPart::InputText { .. } => continue,
            ContentPart::OutputText(_) | ContentPart::Refusal { .. } if assistant => continue,
            ContentPart::OutputText(_) | ContentPart::Refusal { .. } => {
                let problem = "only assistant messages hold output.";
                return Err(invalid(&format!("{place}[{index}].type"), problem));
            }
            ContentPart::InputImage { .. } => "input_image",
            ContentPart::InputFile { .. } => "input_file",
            ContentPart::InputAudio { .. } => "input_audio",
        };
        let advice = format!("does not support '{kind}': this model reads text only.");
        return Err(unsupported_value(&format!("{place}[{index}].type"), advice));
    }
    Ok(())
}
