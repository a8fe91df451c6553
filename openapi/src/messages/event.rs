//! The events of a streamed answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AnswerBlock, MessagesAnswer, MessagesErrorBody, MessagesUsage, StopReason};

/// One event. Each is also named in the `event:` line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MessagesEvent {
    /// The answer begins.
    MessageStart {
        /// The answer, without content and with the prompt's tokens.
        message: MessagesAnswer,
    },
    /// A block begins.
    ContentBlockStart {
        /// Its place in the content.
        index: u32,
        /// The block, empty.
        content_block: AnswerBlock,
    },
    /// Nothing: comes once, behind the first block's beginning.
    Ping {},
    /// A block gains something.
    ContentBlockDelta {
        /// Its place in the content.
        index: u32,
        /// What it gains.
        delta: BlockDelta,
    },
    /// A block is whole.
    ContentBlockStop {
        /// Its place in the content.
        index: u32,
    },
    /// The answer is whole.
    MessageDelta {
        /// Why it ended.
        delta: EndDelta,
        /// Tokens of all of it.
        usage: MessagesUsage,
    },
    /// The last event of a stream that did not fail.
    MessageStop {},
    /// The last event of a stream that failed.
    Error {
        /// What failed.
        error: MessagesErrorBody,
        /// The request, as the access log has it.
        request_id: String,
    },
}

impl MessagesEvent {
    /// What the `event:` line says.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::Ping {} => "ping",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop {} => "message_stop",
            Self::Error { .. } => "error",
        }
    }
}

/// What a block gains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BlockDelta {
    /// More text.
    TextDelta {
        /// The text.
        text: String,
    },
    /// More of what the model thought.
    ThinkingDelta {
        /// The text.
        thinking: String,
    },
    /// The signature of a thinking block, when that is whole.
    SignatureDelta {
        /// The signature.
        signature: String,
    },
    /// More of a call's arguments.
    InputJsonDelta {
        /// JSON text: joined, the deltas of a block are its `input`.
        partial_json: String,
    },
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndDelta {
    /// Why.
    pub stop_reason: Option<StopReason>,
    /// The stop sequence that ended it, where one did.
    pub stop_sequence: Option<String>,
}
