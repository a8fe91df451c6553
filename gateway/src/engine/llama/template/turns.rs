//! The messages and tools of a request as templates expect to find them.

use openapi::message::{Content, Message, Part, Role, Tool, ToolCall};
use serde::Serialize;
use serde_json::Value;

use super::TemplateError;
use super::python::Spaced;
use super::untrusted::ControlSpellings;
use crate::engine::llama::output::ToolFormat;

/// What a template can read; all else is rewritten for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reads {
    /// Content as a list of parts, not as a string.
    pub(super) parts: bool,
    /// System messages; if not, their text goes before the first user message.
    pub(super) system: bool,
    /// The role `developer`; if not, it is `system`.
    pub(super) developer: bool,
    /// Tools, calls and results; if not, they are written into the text, Hermes' way.
    pub(super) tools: Option<ToolFormat>,
}

/// A message, for a template.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Turn {
    pub(super) role: &'static str,
    pub(super) content: Said,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
}

/// Content, in the form that the template reads.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Said {
    Text(String),
    Parts([TextPart; 1]),
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct TextPart {
    #[serde(rename = "type")]
    kind: &'static str,
    text: String,
}

#[derive(Debug, Clone, Serialize)]
struct Call {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function,
}

#[derive(Debug, Clone, Serialize)]
struct Function {
    name: String,
    arguments: Value,
}

/// A tool, for a template: without what is not for the model.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ToolView {
    #[serde(rename = "type")]
    kind: &'static str,
    function: FunctionView,
}

#[derive(Debug, Clone, Serialize)]
struct FunctionView {
    name: String,
    description: String,
    parameters: Value,
}

impl ToolView {
    pub(super) fn new(tool: &Tool, controls: &ControlSpellings) -> Self {
        let mut function = FunctionView {
            name: tool.function.name.clone(),
            description: tool.function.description.clone().unwrap_or_default(),
            parameters: tool
                .function
                .parameters
                .clone()
                .unwrap_or_else(|| serde_json::json!({"type": "object", "properties": {}})),
        };
        controls.disarm(&mut function.name);
        controls.disarm(&mut function.description);
        controls.disarm_json(&mut function.parameters);
        Self { kind: "function", function }
    }
}

impl Turn {
    /// Keeps all that the caller wrote from spelling control tokens.
    fn disarm(&mut self, controls: &ControlSpellings) {
        let (Said::Text(text) | Said::Parts([TextPart { text, .. }])) = &mut self.content;
        let optional = [&mut self.name, &mut self.tool_call_id, &mut self.reasoning_content];
        for text in optional.into_iter().flatten().chain([text]) {
            controls.disarm(text);
        }
        for call in &mut self.tool_calls {
            controls.disarm(&mut call.id);
            controls.disarm(&mut call.function.name);
            controls.disarm_json(&mut call.function.arguments);
        }
    }
}

/// A turn of plain text.
pub(super) fn turn(role: &'static str, text: impl Into<String>) -> Turn {
    Turn {
        role,
        content: Said::Text(text.into()),
        name: None,
        tool_calls: Vec::new(),
        tool_call_id: None,
        reasoning_content: None,
    }
}

/// The request's messages for a template that reads so much.
pub(super) fn turns(
    messages: &[Message],
    tools: &[ToolView],
    reads: Reads,
    controls: &ControlSpellings,
) -> Result<Vec<Turn>, TemplateError> {
    let mut turns = Vec::with_capacity(messages.len() + 1);
    for (index, message) in messages.iter().enumerate() {
        let mut turn = view(index, message, reads)?;
        turn.disarm(controls);
        turns.push(turn);
    }
    if reads.tools.is_none() {
        turns = with_tools_in_text(turns, tools);
    }
    if !reads.system {
        turns = with_system_in_user(turns);
    }
    if reads.parts {
        for turn in &mut turns {
            let text = turn.content.take();
            turn.content = Said::Parts([TextPart { kind: "text", text }]);
        }
    }
    Ok(turns)
}

fn view(index: usize, message: &Message, reads: Reads) -> Result<Turn, TemplateError> {
    let role = match message.role {
        Role::Developer if reads.developer => "developer",
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool | Role::Function => "tool",
    };
    let text = match &message.content {
        Some(Content::Text(text)) => text.clone(),
        Some(Content::Parts(parts)) => flatten(index, parts)?,
        None => message.refusal.clone().unwrap_or_default(),
    };
    let mistral = matches!(reads.tools, Some(ToolFormat::MistralList | ToolFormat::MistralNamed));
    let id = |id: &str| if mistral { short_id(id) } else { id.to_owned() };
    let calls = message.tool_calls.iter().flatten();
    Ok(Turn {
        name: message.name.clone(),
        tool_calls: calls
            .map(|call| Call { id: id(&call.id), kind: "function", function: function(call) })
            .collect(),
        tool_call_id: message.tool_call_id.as_deref().map(id),
        reasoning_content: message.reasoning_content.clone(),
        ..turn(role, text)
    })
}

/// Templates expect the arguments as an object, where the wire has them as text.
fn function(call: &ToolCall) -> Function {
    let text = &call.function.arguments;
    let parsed = serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    let arguments = match parsed {
        None if text.trim().is_empty() => Value::Object(serde_json::Map::new()),
        None => Value::String(text.clone()),
        Some(object) => object,
    };
    Function { name: call.function.name.clone(), arguments }
}

fn flatten(index: usize, parts: &[Part]) -> Result<String, TemplateError> {
    let mut texts: Vec<&str> = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Part::Text { text } => texts.push(text),
            Part::Refusal { refusal } => texts.push(refusal),
            Part::ImageUrl { .. } => return Err(TemplateError::not_text(index, "image_url")),
            Part::InputAudio { .. } => return Err(TemplateError::not_text(index, "input_audio")),
            Part::File { .. } => return Err(TemplateError::not_text(index, "file")),
        }
    }
    Ok(texts.join("\n"))
}

/// Mistral's templates refuse identifiers that are not nine letters and digits; call and result must still agree.
fn short_id(id: &str) -> String {
    if id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    // FNV-1a: stable over processes, so that a prompt renders the same everywhere.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{:09x}", hash & 0xF_FFFF_FFFF)
}

impl Said {
    fn take(&mut self) -> String {
        match self {
            Self::Text(text) => std::mem::take(text),
            Self::Parts([part]) => std::mem::take(&mut part.text),
        }
    }

    fn push(&mut self, separator: &str, addition: &str) {
        let (Self::Text(text) | Self::Parts([TextPart { text, .. }])) = self;
        if !text.is_empty() {
            text.push_str(separator);
        }
        text.push_str(addition);
    }
}

/// Writes tools, calls and results as text for a template that knows none of them.
fn with_tools_in_text(turns: Vec<Turn>, tools: &[ToolView]) -> Vec<Turn> {
    let mut written: Vec<Turn> = Vec::with_capacity(turns.len() + 1);
    let mut after_result = false;
    for mut turn in turns {
        let is_result = turn.role == "tool";
        if is_result {
            let result = format!("<tool_response>\n{}\n</tool_response>", turn.content.take());
            match written.last_mut().filter(|_| after_result) {
                Some(last) => last.content.push("\n", &result),
                None => written.push(self::turn("user", result)),
            }
        } else {
            for call in std::mem::take(&mut turn.tool_calls) {
                turn.content.push("\n", &format!("<tool_call>\n{}\n</tool_call>", spaced(&call.function)));
            }
            written.push(turn);
        }
        after_result = is_result;
    }
    if !tools.is_empty() {
        let section = tool_section(tools);
        match written.first_mut().filter(|first| matches!(first.role, "system" | "developer")) {
            Some(system) => system.content.push("\n\n", &section),
            None => written.insert(0, turn("system", section)),
        }
    }
    written
}

fn tool_section(tools: &[ToolView]) -> String {
    let mut section = String::from(
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nThe functions and their \
         parameters, one a line:\n<tools>\n",
    );
    for tool in tools {
        section.push_str(&spaced(tool));
        section.push('\n');
    }
    section.push_str(
        "</tools>\n\nFor each function call, answer with a JSON object of the function's name and its arguments \
         inside <tool_call></tool_call>:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": \
         <arguments-object>}\n</tool_call>",
    );
    section
}

fn spaced(value: &impl Serialize) -> String {
    let mut bytes = Vec::with_capacity(256);
    let written = value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Spaced));
    // Strings, maps with string keys and JSON values always serialize.
    if written.is_err() {
        bytes.clear();
    }
    String::from_utf8(bytes).unwrap_or_default()
}

fn with_system_in_user(turns: Vec<Turn>) -> Vec<Turn> {
    let mut instructions = String::new();
    let mut written: Vec<Turn> = Vec::with_capacity(turns.len());
    for mut turn in turns {
        if matches!(turn.role, "system" | "developer") {
            if !instructions.is_empty() {
                instructions.push_str("\n\n");
            }
            instructions.push_str(&turn.content.take());
            continue;
        }
        if turn.role == "user" && !instructions.is_empty() {
            let said = turn.content.take();
            turn.content = Said::Text(std::mem::take(&mut instructions));
            turn.content.push("\n\n", &said);
        }
        written.push(turn);
    }
    if !instructions.is_empty() {
        written.push(turn("user", instructions));
    }
    written
}
