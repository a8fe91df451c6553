//! From system prompt, messages and tools of a Messages request to the engine's chat.

use openapi::message::{Content, Message, Part, Role};
use openapi::messages::{
    InputMessage, InputRole, MessagesTool, MessagesToolChoice, SystemBlock, SystemPrompt, TextBlock,
};

use super::{content, tools};
use crate::api::generation::fields::invalid;
use crate::conversation::item::blank;
use crate::engine::ChatPrompt;
use crate::error::ApiError;

/// What of a request makes its prompt.
pub(super) struct Said {
    pub(super) messages: Vec<InputMessage>,
    pub(super) system: Option<SystemPrompt>,
    pub(super) tools: Vec<MessagesTool>,
    pub(super) tool_choice: Option<MessagesToolChoice>,
}

/// The chat of a request.
pub(super) fn prompt(said: Said) -> Result<ChatPrompt, ApiError> {
    let Said { messages, system, tools, tool_choice } = said;
    match messages.last().map(|message| message.role) {
        None => return Err(invalid("messages", "expected at least one message.")),
        Some(InputRole::Assistant) => {
            let place = format!("messages[{}].role", messages.len().saturating_sub(1));
            let problem =
                "the last message is the user's: an answer that was begun cannot be gone on with here.";
            return Err(invalid(&place, problem));
        }
        Some(InputRole::User | InputRole::System) => {}
    }
    let mut turns = Turns(system.and_then(system_message).into_iter().collect());
    for (index, message) in messages.into_iter().enumerate() {
        let place = format!("messages[{index}].content");
        for message in content::messages(&place, message)? {
            turns.push(message);
        }
    }
    let (tools, choice) = tools::check(tools, tool_choice)?;
    Ok(ChatPrompt {
        messages: turns.0,
        tools,
        tool_choice: choice.tool_choice,
        parallel_tool_calls: choice.parallel,
    })
}

fn system_message(system: SystemPrompt) -> Option<Message> {
    let texts = match system {
        SystemPrompt::Text(text) => vec![text],
        SystemPrompt::Blocks(blocks) => {
            blocks.into_iter().map(|SystemBlock::Text(TextBlock { text, .. })| text).collect()
        }
    };
    let content = text_content(texts).filter(|content| *content != Content::Text(String::new()))?;
    Some(Message { content: Some(content), ..blank(Role::System) })
}

/// One text stays a text: templates may tell it from parts. `None` of no texts.
pub(super) fn text_content(mut texts: Vec<String>) -> Option<Content> {
    if texts.len() > 1 {
        return Some(Content::Parts(texts.into_iter().map(|text| Part::Text { text }).collect()));
    }
    texts.pop().map(Content::Text)
}

/// Messages, of which those of one speaker that follow each other are one turn: templates want speakers to alternate.
struct Turns(Vec<Message>);

impl Turns {
    fn push(&mut self, message: Message) {
        let joins = matches!(message.role, Role::User | Role::Assistant);
        match self.0.last_mut().filter(|last| joins && last.role == message.role) {
            Some(last) => join(last, message),
            None => self.0.push(message),
        }
    }
}

fn join(last: &mut Message, message: Message) {
    let texts =
        [last.content.take(), message.content].into_iter().flatten().flat_map(parts).collect::<Vec<_>>();
    last.content = match texts.as_slice() {
        [] => None,
        _ => Some(Content::Parts(texts)),
    };
    if let Some(more) = message.reasoning_content {
        let thoughts = last.reasoning_content.get_or_insert_default();
        if !thoughts.is_empty() {
            thoughts.push('\n');
        }
        thoughts.push_str(&more);
    }
    if let Some(calls) = message.tool_calls {
        last.tool_calls.get_or_insert_default().extend(calls);
    }
}

fn parts(content: Content) -> Vec<Part> {
    match content {
        Content::Text(text) => vec![Part::Text { text }],
        Content::Parts(parts) => parts,
    }
}
