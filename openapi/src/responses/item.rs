//! What a conversation is made of: messages, calls of functions and their results, reasoning.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::message::Role;

/// One item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item {
    /// Something said.
    Message(MessageItem),
    /// A call that the model made.
    FunctionCall(FunctionCallItem),
    /// What a call gave.
    FunctionCallOutput(FunctionCallOutputItem),
    /// What the model thought before it answered.
    Reasoning(ReasoningItem),
}

impl Item {
    /// The item's id.
    pub fn id(&self) -> &str {
        match self {
            Self::Message(item) => &item.id,
            Self::FunctionCall(item) => &item.id,
            Self::FunctionCallOutput(item) => &item.id,
            Self::Reasoning(item) => &item.id,
        }
    }

    /// Gives it an id.
    pub fn set_id(&mut self, id: String) {
        match self {
            Self::Message(item) => item.id = id,
            Self::FunctionCall(item) => item.id = id,
            Self::FunctionCallOutput(item) => item.id = id,
            Self::Reasoning(item) => item.id = id,
        }
    }

    /// How far it has come.
    pub fn set_status(&mut self, status: ItemStatus) {
        match self {
            Self::Message(item) => item.status = status,
            Self::FunctionCall(item) => item.status = status,
            Self::FunctionCallOutput(item) => item.status = status,
            Self::Reasoning(item) => item.status = Some(status),
        }
    }

    /// What its id begins with.
    pub fn prefix(&self) -> &'static str {
        match self {
            Self::Message(_) => "msg",
            Self::FunctionCall(_) => "fc",
            Self::FunctionCallOutput(_) => "fco",
            Self::Reasoning(_) => "rs",
        }
    }
}

/// How far an item has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    /// It is being made.
    InProgress,
    /// It is whole.
    #[default]
    Completed,
    /// It was cut short.
    Incomplete,
}

/// Something said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessageItem {
    /// `msg_…`; made here where the client sends none.
    #[serde(default)]
    pub id: String,
    /// Whether it is whole.
    #[serde(default)]
    pub status: ItemStatus,
    /// Who speaks.
    pub role: Role,
    /// What is said.
    #[serde(deserialize_with = "text_or_parts")]
    #[schemars(with = "TextOrParts")]
    pub content: Vec<ContentPart>,
    /// Extension: a participant's name, as chat completions have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A string, which is one `input_text` (of the assistant: one `output_text`), or parts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a string or an array of content parts")]
enum TextOrParts {
    Text(String),
    Parts(Vec<ContentPart>),
}

fn text_or_parts<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<ContentPart>, D::Error> {
    Ok(match TextOrParts::deserialize(deserializer)? {
        TextOrParts::Text(text) => vec![ContentPart::InputText { text }],
        TextOrParts::Parts(parts) => parts,
    })
}

/// One part of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentPart {
    /// Text that was sent.
    InputText {
        /// The text.
        text: String,
    },
    /// Text that the model made.
    OutputText(OutputText),
    /// A refusal that an earlier answer held.
    Refusal {
        /// The text of the refusal.
        refusal: String,
    },
    /// Refused: the models served here read text only.
    InputImage {
        /// Kept as it came.
        #[serde(default)]
        image_url: Value,
    },
    /// Refused: the models served here read text only.
    InputFile {
        /// Kept as it came.
        #[serde(default)]
        file_id: Value,
    },
    /// Refused: the models served here read text only.
    InputAudio {
        /// Kept as it came.
        #[serde(default)]
        input_audio: Value,
    },
}

/// Text that the model made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OutputText {
    /// The text.
    pub text: String,
    /// Always empty: there are no files or searches to point to.
    #[serde(default)]
    pub annotations: Vec<Value>,
    /// The tokens' log-probabilities, where asked for.
    #[serde(default)]
    pub logprobs: Vec<crate::chat::TokenLogprobs>,
}

/// A call that the model made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionCallItem {
    /// `fc_…`; made here where the client sends none.
    #[serde(default)]
    pub id: String,
    /// `call_…`: the name by which its output refers to it.
    pub call_id: String,
    /// The function.
    pub name: String,
    /// The arguments as JSON text.
    pub arguments: String,
    /// Whether it is whole.
    #[serde(default)]
    pub status: ItemStatus,
}

/// What a call gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionCallOutputItem {
    /// `fco_…`; made here where the client sends none.
    #[serde(default)]
    pub id: String,
    /// The call's `call_id`.
    pub call_id: String,
    /// Its result.
    pub output: CallOutput,
    /// Whether it is whole.
    #[serde(default)]
    pub status: ItemStatus,
}

/// A call's result: text, or parts of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a string or an array of content parts")]
pub enum CallOutput {
    /// Text.
    Text(String),
    /// Parts, all of them text.
    Parts(Vec<ContentPart>),
}

/// What the model thought before it answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReasoningItem {
    /// `rs_…`; made here where the client sends none.
    #[serde(default)]
    pub id: String,
    /// Always empty: reasoning is not summed up here.
    #[serde(default)]
    pub summary: Vec<Value>,
    /// The reasoning.
    #[serde(default)]
    pub content: Vec<ReasoningText>,
    /// Whether it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ItemStatus>,
}

/// A piece of reasoning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ReasoningText {
    /// As the model wrote it.
    ReasoningText {
        /// The text.
        text: String,
    },
}

/// A page of items (`object`: `list`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ItemList {
    /// Always `list`.
    pub object: String,
    /// The items.
    pub data: Vec<Item>,
    /// The first item's id.
    pub first_id: Option<String>,
    /// The last item's id: `after` of the next page.
    pub last_id: Option<String>,
    /// Whether there are more.
    pub has_more: bool,
}
