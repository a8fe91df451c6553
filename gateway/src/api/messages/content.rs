//! The blocks of a message, checked, as the engine's messages.

use openapi::message::{Content, FunctionCall, Message, Role, ToolCall};
use openapi::messages::{
    InputBlock, InputContent, InputMessage, InputRole, ResultBlock, ResultContent, TextBlock,
};
use serde_json::{Map, Value};

use super::prompt::text_content;
use crate::api::generation::fields::{invalid, missing, unsupported_value};
use crate::conversation::item::blank;
use crate::error::ApiError;

const TEXT_ONLY: &str = "the models served here read text only.";
const CLIENT_TOOLS: &str = "there are no tools here that the server runs.";

/// The messages that one of the request makes: what calls gave is a message each, before the text beside it.
pub(super) fn messages(place: &str, message: InputMessage) -> Result<Vec<Message>, ApiError> {
    let role = message.role;
    match message.content {
        InputContent::Text(text) => {
            Ok(vec![Message { content: Some(Content::Text(text)), ..blank(wire_role(role)) }])
        }
        InputContent::Blocks(blocks) if blocks.is_empty() => {
            Err(invalid(place, "expected at least one content block."))
        }
        InputContent::Blocks(blocks) => {
            let mut gathered = Gathered::default();
            for (index, block) in blocks.into_iter().enumerate() {
                gathered.add(&format!("{place}[{index}]"), role, block)?;
            }
            Ok(gathered.messages(role))
        }
    }
}

fn wire_role(role: InputRole) -> Role {
    match role {
        InputRole::User => Role::User,
        InputRole::Assistant => Role::Assistant,
        InputRole::System => Role::System,
    }
}

/// What the blocks of one message say.
#[derive(Debug, Default)]
struct Gathered {
    texts: Vec<String>,
    thoughts: Vec<String>,
    calls: Vec<ToolCall>,
    results: Vec<Message>,
}

impl Gathered {
    fn add(&mut self, place: &str, role: InputRole, block: InputBlock) -> Result<(), ApiError> {
        let only_of = |speaker: InputRole, kind: &str, whose: &str| {
            if role == speaker {
                return Ok(());
            }
            Err(invalid(&format!("{place}.type"), format!("only {whose} messages hold '{kind}'.")))
        };
        let (kind, why) = match block {
            InputBlock::Text(TextBlock { text, .. }) => {
                self.texts.push(text);
                return Ok(());
            }
            InputBlock::Thinking { thinking, .. } => {
                only_of(InputRole::Assistant, "thinking", "assistant")?;
                self.thoughts.push(thinking);
                return Ok(());
            }
            InputBlock::ToolUse { id, name, input, .. } => {
                only_of(InputRole::Assistant, "tool_use", "assistant")?;
                self.calls.push(call(place, id, name, input)?);
                return Ok(());
            }
            InputBlock::ToolResult { tool_use_id, content, is_error, .. } => {
                only_of(InputRole::User, "tool_result", "user")?;
                if tool_use_id.is_empty() {
                    return Err(missing(&format!("{place}.tool_use_id")));
                }
                let content = result(&format!("{place}.content"), content, is_error == Some(true))?;
                let tool_call_id = Some(tool_use_id);
                self.results.push(Message { content: Some(content), tool_call_id, ..blank(Role::Tool) });
                return Ok(());
            }
            refused => refusal(&refused),
        };
        Err(unsupported_value(&format!("{place}.type"), format!("does not support '{kind}': {why}")))
    }

    fn messages(self, role: InputRole) -> Vec<Message> {
        let Self { texts, thoughts, calls, results: mut messages } = self;
        let content = text_content(texts);
        let reasoning_content = (!thoughts.is_empty()).then(|| thoughts.join("\n"));
        let tool_calls = (!calls.is_empty()).then_some(calls);
        if content.is_some() || reasoning_content.is_some() || tool_calls.is_some() {
            messages.push(Message { content, reasoning_content, tool_calls, ..blank(wire_role(role)) });
        }
        messages
    }
}

/// A kind of block that is refused, and why.
fn refusal(block: &InputBlock) -> (&'static str, &'static str) {
    match block {
        InputBlock::Image {} => ("image", TEXT_ONLY),
        InputBlock::Document {} => ("document", TEXT_ONLY),
        InputBlock::SearchResult {} => ("search_result", "there is no search here."),
        InputBlock::RedactedThinking {} => {
            ("redacted_thinking", "what another server has sealed cannot be read here.")
        }
        InputBlock::ServerToolUse {} => ("server_tool_use", CLIENT_TOOLS),
        InputBlock::WebSearchToolResult {} => ("web_search_tool_result", CLIENT_TOOLS),
        InputBlock::WebFetchToolResult {} => ("web_fetch_tool_result", CLIENT_TOOLS),
        InputBlock::CodeExecutionToolResult {} => ("code_execution_tool_result", CLIENT_TOOLS),
        InputBlock::McpToolUse {} => ("mcp_tool_use", CLIENT_TOOLS),
        InputBlock::McpToolResult {} => ("mcp_tool_result", CLIENT_TOOLS),
        InputBlock::ContainerUpload {} => ("container_upload", "there are no containers here."),
        // Taken before.
        InputBlock::Text(_)
        | InputBlock::Thinking { .. }
        | InputBlock::ToolUse { .. }
        | InputBlock::ToolResult { .. } => ("this", "it is out of place."),
    }
}

fn call(place: &str, id: String, name: String, input: Map<String, Value>) -> Result<ToolCall, ApiError> {
    if id.is_empty() {
        return Err(missing(&format!("{place}.id")));
    }
    if name.is_empty() {
        return Err(missing(&format!("{place}.name")));
    }
    let arguments = Value::Object(input).to_string();
    Ok(ToolCall { id, kind: "function".to_owned(), function: FunctionCall { name, arguments } })
}

/// What a call gave. Templates have no place for whether it failed, so the text says it.
fn result(place: &str, content: Option<ResultContent>, failed: bool) -> Result<Content, ApiError> {
    let mut texts = match content {
        None => Vec::new(),
        Some(ResultContent::Text(text)) => vec![text],
        Some(ResultContent::Blocks(blocks)) => result_texts(place, blocks)?,
    };
    if failed {
        match texts.first_mut() {
            Some(first) => first.insert_str(0, "Error: "),
            None => texts.push("Error".to_owned()),
        }
    }
    Ok(text_content(texts).unwrap_or(Content::Text(String::new())))
}

fn result_texts(place: &str, blocks: Vec<ResultBlock>) -> Result<Vec<String>, ApiError> {
    let one = |(index, block)| {
        let (kind, why) = match block {
            ResultBlock::Text(TextBlock { text, .. }) => return Ok(text),
            ResultBlock::Image {} => ("image", TEXT_ONLY),
            ResultBlock::Document {} => ("document", TEXT_ONLY),
            ResultBlock::SearchResult {} => ("search_result", "there is no search here."),
            ResultBlock::ToolReference {} => ("tool_reference", "all tools are shown to the model at once."),
        };
        let advice = format!("does not support '{kind}': {why}");
        Err(unsupported_value(&format!("{place}[{index}].type"), advice))
    };
    blocks.into_iter().enumerate().map(one).collect()
}
