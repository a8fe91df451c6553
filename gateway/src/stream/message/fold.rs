//! The events of an answer, folded to one message: what a client that joins the streamed events would have.

use openapi::messages::{AnswerBlock, MessagesAnswer};
use serde_json::{Map, Value};
use tokio_stream::{Stream, StreamExt};

use super::{MessagesHead, Signature, ending, wire_usage};
use crate::engine::{DeltaPart, Event};
use crate::error::ApiError;

/// Waits for the whole answer. An error anywhere is the request's error.
pub async fn fold(
    head: MessagesHead,
    mut events: impl Stream<Item = Result<Event, ApiError>> + Unpin,
) -> Result<MessagesAnswer, ApiError> {
    let mut answer = head.empty();
    let mut blocks: Vec<Block> = Vec::new();
    while let Some(event) = events.next().await {
        match event? {
            Event::Delta(delta) => {
                if let Some(part) = delta.part {
                    add(&mut blocks, part, head.shows_thinking);
                }
            }
            Event::Finished { reason, stop, .. } => {
                let end = ending(reason, stop);
                (answer.stop_reason, answer.stop_sequence) = (end.stop_reason, end.stop_sequence);
            }
            Event::Done(usage) => answer.usage = wire_usage(usage),
            // It is asked for by chat and completions alone.
            Event::Wire(_) => {}
        }
    }
    answer.content = blocks.into_iter().filter_map(Block::close).collect();
    Ok(answer)
}

/// One block, growing.
#[derive(Debug)]
enum Block {
    Text(String),
    Thinking(String),
    Call { index: u32, id: String, name: String, arguments: String },
}

fn add(blocks: &mut Vec<Block>, part: DeltaPart, shows_thinking: bool) {
    match (part, blocks.last_mut()) {
        (DeltaPart::Content(more), Some(Block::Text(text))) => text.push_str(&more),
        (DeltaPart::Content(text), _) => blocks.push(Block::Text(text)),
        (DeltaPart::Reasoning(_), _) if !shows_thinking => {}
        (DeltaPart::Reasoning(more), Some(Block::Thinking(text))) => text.push_str(&more),
        (DeltaPart::Reasoning(text), _) => blocks.push(Block::Thinking(text)),
        (DeltaPart::ToolCall { index, id, name }, _) => {
            blocks.push(Block::Call { index, id, name, arguments: String::new() });
        }
        (
            DeltaPart::ToolArguments { index, arguments: more },
            Some(Block::Call { index: open, arguments, .. }),
        ) if *open == index => {
            arguments.push_str(&more);
        }
        // A block that has ended cannot gain: no engine goes back to a call before the last.
        (DeltaPart::ToolArguments { .. }, _) => {}
    }
}

impl Block {
    /// The finished block. A call whose arguments were cut is none: nobody could make it.
    fn close(self) -> Option<AnswerBlock> {
        match self {
            Self::Text(text) => Some(AnswerBlock::Text { text }),
            Self::Thinking(thinking) => {
                let mut signature = Signature::default();
                signature.add(&thinking);
                Some(AnswerBlock::Thinking { thinking, signature: signature.finish() })
            }
            Self::Call { id, name, arguments, .. } => {
                let input = input(&arguments)?;
                Some(AnswerBlock::ToolUse { id, name, input })
            }
        }
    }
}

/// The arguments as an object; none at all are an empty one.
fn input(arguments: &str) -> Option<Map<String, Value>> {
    if arguments.trim().is_empty() {
        return Some(Map::new());
    }
    serde_json::from_str(arguments).ok()
}
