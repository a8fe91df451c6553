//! The output items of an answer, growing as the model makes them.

use openapi::chat::TokenLogprobs;
use openapi::message::Role;
use openapi::responses::{
    ContentPart, FunctionCallItem, Item, ItemStatus, MessageItem, OutputText, ReasoningItem, ReasoningText,
};

use crate::conversation::ids;
use crate::engine::{DeltaPart, TokenLogprob};
use crate::stream::logprobs;

/// An answer's items. Two that follow the same events under the same id are the same, ids included.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    id: String,
    items: Vec<Item>,
    /// The item that grows.
    open: Option<usize>,
    /// Of tokens whose text is held back: they go with the next text.
    logprobs: Vec<TokenLogprobs>,
}

/// What a piece of the answer changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// An item is whole.
    pub closed: Option<usize>,
    /// An item begins.
    pub opened: bool,
    /// The item that grew.
    pub place: usize,
    /// Log-probabilities that it had before.
    pub logprobs: usize,
}

impl Answer {
    /// The answer of a response, or of whatever has an id.
    pub fn new(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    /// The items so far.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Keeps log-probabilities for the text that they belong to.
    pub fn note(&mut self, tokens: Vec<TokenLogprob>) {
        self.logprobs.extend(tokens.into_iter().map(logprobs::chat_token));
    }

    /// Adds a piece. `None` where it belongs to nothing.
    pub fn add(&mut self, part: &DeltaPart) -> Option<Change> {
        let (closed, opened) = self.make_room(part);
        let place = self.open?;
        let mut before = 0;
        match (self.items.get_mut(place)?, part) {
            (Item::Message(message), DeltaPart::Content(more)) => {
                if let Some(ContentPart::OutputText(part)) = message.content.first_mut() {
                    before = part.logprobs.len();
                    part.text.push_str(more);
                    part.logprobs.append(&mut self.logprobs);
                }
            }
            (Item::Reasoning(reasoning), DeltaPart::Reasoning(more)) => {
                if let Some(ReasoningText::ReasoningText { text }) = reasoning.content.first_mut() {
                    text.push_str(more);
                }
                self.logprobs.clear();
            }
            (Item::FunctionCall(call), DeltaPart::ToolArguments { arguments, .. }) => {
                call.arguments.push_str(arguments);
                self.logprobs.clear();
            }
            _ => {}
        }
        Some(Change { closed, opened, place, logprobs: before })
    }

    /// Closes what is open, and begins what the piece belongs to, unless it is open already.
    fn make_room(&mut self, part: &DeltaPart) -> (Option<usize>, bool) {
        let open = self.open.and_then(|place| self.items.get(place));
        let fits = matches!(
            (open, part),
            (Some(Item::Message(_)), DeltaPart::Content(_))
                | (Some(Item::Reasoning(_)), DeltaPart::Reasoning(_))
                | (_, DeltaPart::ToolArguments { .. })
        );
        if fits {
            return (None, false);
        }
        let closed = self.close(ItemStatus::Completed);
        let item = match part {
            DeltaPart::Content(_) => Self::empty_message(),
            DeltaPart::Reasoning(_) => Item::Reasoning(ReasoningItem {
                content: vec![ReasoningText::ReasoningText { text: String::new() }],
                status: Some(ItemStatus::InProgress),
                ..ReasoningItem::default()
            }),
            DeltaPart::ToolCall { id, name, .. } => Item::FunctionCall(FunctionCallItem {
                id: String::new(),
                call_id: id.clone(),
                name: name.clone(),
                arguments: String::new(),
                status: ItemStatus::InProgress,
            }),
            // Arguments fit whatever is open.
            DeltaPart::ToolArguments { .. } => return (closed, false),
        };
        self.begin(item);
        (closed, true)
    }

    fn empty_message() -> Item {
        Item::Message(MessageItem {
            id: String::new(),
            status: ItemStatus::InProgress,
            role: Role::Assistant,
            content: vec![ContentPart::OutputText(OutputText::default())],
            name: None,
        })
    }

    fn begin(&mut self, mut item: Item) {
        let place = self.items.len();
        item.set_id(ids::of_item(item.prefix(), &self.id, place));
        self.items.push(item);
        self.open = Some(place);
    }

    /// The model said nothing: its message is empty. `true` where that had to be added.
    pub fn say_something(&mut self) -> bool {
        if self.items.is_empty() {
            let item = Self::empty_message();
            self.begin(item);
            return true;
        }
        false
    }

    /// Ends the item that grows.
    pub fn close(&mut self, status: ItemStatus) -> Option<usize> {
        let place = self.open.take()?;
        self.items.get_mut(place)?.set_status(status);
        Some(place)
    }

    /// What can be gone on from after an end in the middle: a call whose arguments are cut is none.
    pub fn into_partial(mut self) -> Vec<Item> {
        if let Some(place) = self.close(ItemStatus::Incomplete)
            && matches!(self.items.get(place), Some(Item::FunctionCall(_)))
        {
            self.items.truncate(place);
        }
        self.items
    }
}
