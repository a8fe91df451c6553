//! The events of a streamed response.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ContentPart, Item, OutputText, ReasoningText, Response};
use crate::chat::TokenLogprobs;

/// One event, with its place in the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResponseEvent {
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
    /// Counts the events of a stream from 0.
    pub sequence_number: u64,
}

/// What happened. Each event is also named in the `event:` line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum EventKind {
    /// The first event of all.
    #[serde(rename = "response.created")]
    Created {
        /// Without output.
        response: Response,
    },
    /// It waits.
    #[serde(rename = "response.queued")]
    Queued {
        /// Without output.
        response: Response,
    },
    /// The model was given it.
    #[serde(rename = "response.in_progress")]
    InProgress {
        /// Without output.
        response: Response,
    },
    /// An item begins.
    #[serde(rename = "response.output_item.added")]
    OutputItemAdded {
        /// Its place in the output.
        output_index: u32,
        /// The item, empty.
        item: Item,
    },
    /// A part of a message begins.
    #[serde(rename = "response.content_part.added")]
    ContentPartAdded(PartEvent),
    /// More text.
    #[serde(rename = "response.output_text.delta")]
    OutputTextDelta {
        /// The message.
        item_id: String,
        /// Its place in the output.
        output_index: u32,
        /// The part's place in it.
        content_index: u32,
        /// The text.
        delta: String,
        /// Of its tokens, where asked for.
        logprobs: Vec<TokenLogprobs>,
    },
    /// The text is whole.
    #[serde(rename = "response.output_text.done")]
    OutputTextDone {
        /// The message.
        item_id: String,
        /// Its place in the output.
        output_index: u32,
        /// The part's place in it.
        content_index: u32,
        /// The text, whole.
        text: String,
        /// Of its tokens, where asked for.
        logprobs: Vec<TokenLogprobs>,
    },
    /// More reasoning.
    #[serde(rename = "response.reasoning_text.delta")]
    ReasoningTextDelta {
        /// The reasoning item.
        item_id: String,
        /// Its place in the output.
        output_index: u32,
        /// The part's place in it.
        content_index: u32,
        /// The text.
        delta: String,
    },
    /// The reasoning is whole.
    #[serde(rename = "response.reasoning_text.done")]
    ReasoningTextDone {
        /// The reasoning item.
        item_id: String,
        /// Its place in the output.
        output_index: u32,
        /// The part's place in it.
        content_index: u32,
        /// The text, whole.
        text: String,
    },
    /// A part is whole.
    #[serde(rename = "response.content_part.done")]
    ContentPartDone(PartEvent),
    /// More of a call's arguments.
    #[serde(rename = "response.function_call_arguments.delta")]
    FunctionCallArgumentsDelta {
        /// The call.
        item_id: String,
        /// Its place in the output.
        output_index: u32,
        /// JSON text.
        delta: String,
    },
    /// A call's arguments are whole.
    #[serde(rename = "response.function_call_arguments.done")]
    FunctionCallArgumentsDone {
        /// The call.
        item_id: String,
        /// Its place in the output.
        output_index: u32,
        /// The function.
        name: String,
        /// JSON text, whole.
        arguments: String,
    },
    /// An item is whole.
    #[serde(rename = "response.output_item.done")]
    OutputItemDone {
        /// Its place in the output.
        output_index: u32,
        /// The item.
        item: Item,
    },
    /// The response is whole, and kept if it was to be.
    #[serde(rename = "response.completed")]
    Completed {
        /// The response.
        response: Response,
    },
    /// The response was cut short.
    #[serde(rename = "response.incomplete")]
    Incomplete {
        /// The response.
        response: Response,
    },
    /// The response could not be made.
    #[serde(rename = "response.failed")]
    Failed {
        /// The response.
        response: Response,
    },
}

/// A part that begins or is whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PartEvent {
    /// The item that it belongs to.
    pub item_id: String,
    /// The item's place in the output.
    pub output_index: u32,
    /// The part's place in the item.
    pub content_index: u32,
    /// The part.
    pub part: EventPart,
}

/// A part of an item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum EventPart {
    /// Of a message.
    Content(ContentPart),
    /// Of reasoning.
    Reasoning(ReasoningText),
}

impl EventPart {
    /// Text that the model made.
    pub fn output_text(text: OutputText) -> Self {
        Self::Content(ContentPart::OutputText(text))
    }
}

impl EventKind {
    /// The name of the event's kind.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Created { .. } => "response.created",
            Self::Queued { .. } => "response.queued",
            Self::InProgress { .. } => "response.in_progress",
            Self::OutputItemAdded { .. } => "response.output_item.added",
            Self::ContentPartAdded(_) => "response.content_part.added",
            Self::OutputTextDelta { .. } => "response.output_text.delta",
            Self::OutputTextDone { .. } => "response.output_text.done",
            Self::ReasoningTextDelta { .. } => "response.reasoning_text.delta",
            Self::ReasoningTextDone { .. } => "response.reasoning_text.done",
            Self::ContentPartDone(_) => "response.content_part.done",
            Self::FunctionCallArgumentsDelta { .. } => "response.function_call_arguments.delta",
            Self::FunctionCallArgumentsDone { .. } => "response.function_call_arguments.done",
            Self::OutputItemDone { .. } => "response.output_item.done",
            Self::Completed { .. } => "response.completed",
            Self::Incomplete { .. } => "response.incomplete",
            Self::Failed { .. } => "response.failed",
        }
    }
}
