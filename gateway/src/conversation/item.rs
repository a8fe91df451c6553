//! Items as the engine's messages, and messages as items: what is kept can be said again word by word.

use openapi::message::{Content, FunctionCall, Message, Part, Role, ToolCall};
use openapi::responses::{
    CallOutput, ContentPart, FunctionCallItem, FunctionCallOutputItem, Item, ItemStatus, MessageItem,
    OutputText, ReasoningItem, ReasoningText,
};

/// The messages that items make. An answer's reasoning, text and calls are one message of the assistant.
pub fn messages(items: &[Item]) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::with_capacity(items.len());
    // Whether the last message is an answer that may gain more.
    let mut open = false;
    for item in items {
        match item {
            Item::Reasoning(reasoning) => {
                let message = blank(Role::Assistant);
                messages.push(Message { reasoning_content: Some(reasoning_text(reasoning)), ..message });
                open = true;
            }
            Item::Message(said) if said.role == Role::Assistant => {
                let content = Some(content_of(&said.content));
                match messages.last_mut().filter(|last| open && last.content.is_none() && no_calls(last)) {
                    Some(last) => last.content = content,
                    None => {
                        messages.push(Message { content, name: said.name.clone(), ..blank(Role::Assistant) });
                    }
                }
                open = true;
            }
            Item::Message(said) => {
                let content = Some(content_of(&said.content));
                messages.push(Message { content, name: said.name.clone(), ..blank(said.role) });
                open = false;
            }
            Item::FunctionCall(call) => {
                if !open {
                    messages.push(blank(Role::Assistant));
                }
                if let Some(last) = messages.last_mut() {
                    last.tool_calls.get_or_insert_default().push(tool_call(call));
                }
                open = true;
            }
            Item::FunctionCallOutput(output) => {
                let content = Some(match &output.output {
                    CallOutput::Text(text) => Content::Text(text.clone()),
                    CallOutput::Parts(parts) => content_of(parts),
                });
                let tool_call_id = Some(output.call_id.clone());
                messages.push(Message { content, tool_call_id, ..blank(Role::Tool) });
                open = false;
            }
        }
    }
    messages
}

/// The items that a message makes, without ids.
pub fn items(message: &Message) -> Vec<Item> {
    let mut items = Vec::new();
    if let (Role::Tool, Some(call_id)) = (message.role, &message.tool_call_id) {
        let output = match &message.content {
            Some(Content::Text(text)) => CallOutput::Text(text.clone()),
            Some(Content::Parts(parts)) => CallOutput::Parts(parts.iter().filter_map(input_part).collect()),
            None => CallOutput::Text(String::new()),
        };
        items.push(Item::FunctionCallOutput(FunctionCallOutputItem {
            id: String::new(),
            call_id: call_id.clone(),
            output,
            status: ItemStatus::Completed,
        }));
        return items;
    }
    if let Some(text) = &message.reasoning_content {
        items.push(Item::Reasoning(ReasoningItem {
            content: vec![ReasoningText::ReasoningText { text: text.clone() }],
            ..ReasoningItem::default()
        }));
    }
    if let Some(content) = parts_of(message) {
        items.push(Item::Message(MessageItem {
            id: String::new(),
            status: ItemStatus::Completed,
            role: message.role,
            content,
            name: message.name.clone(),
        }));
    }
    items.extend(message.tool_calls.iter().flatten().map(|call| {
        Item::FunctionCall(FunctionCallItem {
            id: String::new(),
            call_id: call.id.clone(),
            name: call.function.name.clone(),
            arguments: call.function.arguments.clone(),
            status: ItemStatus::Completed,
        })
    }));
    items
}

/// A message in which nothing is said yet.
pub fn blank(role: Role) -> Message {
    Message {
        role,
        content: None,
        name: None,
        tool_calls: None,
        tool_call_id: None,
        refusal: None,
        reasoning_content: None,
    }
}

fn no_calls(message: &Message) -> bool {
    message.tool_calls.as_ref().is_none_or(Vec::is_empty)
}

fn reasoning_text(reasoning: &ReasoningItem) -> String {
    reasoning.content.iter().map(|ReasoningText::ReasoningText { text }| text.as_str()).collect()
}

fn tool_call(call: &FunctionCallItem) -> ToolCall {
    ToolCall {
        id: call.call_id.clone(),
        kind: "function".to_owned(),
        function: FunctionCall { name: call.name.clone(), arguments: call.arguments.clone() },
    }
}

/// One text stays a text: templates may tell it from parts.
fn content_of(parts: &[ContentPart]) -> Content {
    match parts {
        [ContentPart::InputText { text } | ContentPart::OutputText(OutputText { text, .. })] => {
            Content::Text(text.clone())
        }
        parts => Content::Parts(parts.iter().filter_map(message_part).collect()),
    }
}

fn message_part(part: &ContentPart) -> Option<Part> {
    match part {
        ContentPart::InputText { text } | ContentPart::OutputText(OutputText { text, .. }) => {
            Some(Part::Text { text: text.clone() })
        }
        ContentPart::Refusal { refusal } => Some(Part::Refusal { refusal: refusal.clone() }),
        // Refused before anything is kept.
        ContentPart::InputImage { .. } | ContentPart::InputFile { .. } | ContentPart::InputAudio { .. } => {
            None
        }
    }
}

fn parts_of(message: &Message) -> Option<Vec<ContentPart>> {
    let said = |text: &str| match message.role {
        Role::Assistant => {
            ContentPart::OutputText(OutputText { text: text.to_owned(), ..OutputText::default() })
        }
        _ => ContentPart::InputText { text: text.to_owned() },
    };
    let refusal = message.refusal.as_ref().map(|refusal| ContentPart::Refusal { refusal: refusal.clone() });
    match (&message.content, refusal) {
        (Some(Content::Text(text)), None) => Some(vec![said(text)]),
        (Some(Content::Text(text)), Some(refusal)) => Some(vec![said(text), refusal]),
        (Some(Content::Parts(parts)), refusal) => {
            let parts = parts.iter().filter_map(|part| match part {
                Part::Text { text } => Some(said(text)),
                other => input_part(other),
            });
            Some(parts.chain(refusal).collect())
        }
        (None, Some(refusal)) => Some(vec![refusal]),
        (None, None) => None,
    }
}

fn input_part(part: &Part) -> Option<ContentPart> {
    match part {
        Part::Text { text } => Some(ContentPart::InputText { text: text.clone() }),
        Part::Refusal { refusal } => Some(ContentPart::Refusal { refusal: refusal.clone() }),
        // Refused before anything is kept.
        Part::ImageUrl { .. } | Part::InputAudio { .. } | Part::File { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(role: Role, content: &str) -> Message {
        Message { content: Some(Content::Text(content.to_owned())), ..blank(role) }
    }

    fn call(id: &str) -> ToolCall {
        ToolCall {
            id: id.to_owned(),
            kind: "function".to_owned(),
            function: FunctionCall { name: "f".to_owned(), arguments: "{}".to_owned() },
        }
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let said = (prop::sample::select(vec![Role::System, Role::Developer, Role::User]), ".{0,8}")
            .prop_map(|(role, text)| message(role, &text));
        let answer = (prop::option::of(".{0,8}"), prop::option::of(".{1,8}"), 0_usize..3).prop_map(
            |(text, reasoning, calls)| {
                let text = if calls == 0 { Some(text.unwrap_or_default()) } else { text };
                Message {
                    content: text.map(Content::Text),
                    reasoning_content: reasoning,
                    tool_calls: (calls > 0).then(|| (0..calls).map(|i| call(&format!("call_{i}"))).collect()),
                    ..blank(Role::Assistant)
                }
            },
        );
        let result = ".{0,8}"
            .prop_map(|text| Message { tool_call_id: Some("call_0".into()), ..message(Role::Tool, &text) });
        prop_oneof![said, answer, result]
    }

    proptest! {
        /// Two answers in a row, of which the second has calls and no text, would be read as one: no client sends them.
        #[test]
        fn messages_that_become_items_are_the_same_again(all in prop::collection::vec(any_message(), 0..8)) {
            let all: Vec<Message> = all
                .into_iter()
                .fold(Vec::new(), |mut kept: Vec<Message>, message| {
                    let twice = kept.last().is_some_and(|last| last.role == Role::Assistant)
                        && message.role == Role::Assistant;
                    if !twice {
                        kept.push(message);
                    }
                    kept
                });
            let stored: Vec<Item> = all.iter().flat_map(items).collect();
            prop_assert_eq!(messages(&stored), all);
        }
    }

    #[test]
    fn an_answers_text_and_calls_are_one_message() {
        let text = Item::Message(MessageItem {
            id: "msg_1".into(),
            status: ItemStatus::Completed,
            role: Role::Assistant,
            content: vec![ContentPart::OutputText(OutputText {
                text: "wait".into(),
                ..OutputText::default()
            })],
            name: None,
        });
        let made = |id: &str| {
            Item::FunctionCall(FunctionCallItem {
                id: id.into(),
                call_id: id.into(),
                name: "f".into(),
                arguments: "{}".into(),
                status: ItemStatus::Completed,
            })
        };
        let messages = messages(&[text, made("a"), made("b")]);
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].tool_calls.as_ref().map(Vec::len), Some(2));
    }
}
