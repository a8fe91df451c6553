//! A request and its answer on their way to the store.

use openapi::responses::{Item, Response as WireResponse};

use super::store::{Append, Response, Turn};
use super::{Conversations, named};

/// What a request goes on from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Link {
    /// Nothing that is kept.
    #[default]
    None,
    /// A conversation, which the turn is added to.
    Conversation(String),
    /// A response.
    Previous(String),
}

/// What was kept, as it is gone on from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context {
    /// Its items, in order.
    pub items: Vec<Item>,
    /// The state of the conversation.
    pub head: u64,
    /// Where it began: the conversation, or the first response of the chain.
    pub origin: Option<String>,
}

/// A turn to be kept.
#[derive(Debug, Clone)]
pub struct NewTurn {
    /// The answer's id.
    pub id: String,
    /// What it goes on from.
    pub link: Link,
    /// The state of the conversation that it went on from.
    pub head: u64,
    /// What was sent with the request.
    pub input: Vec<Item>,
    /// What was made, with ids.
    pub output: Vec<Item>,
    /// The response, where it is to be kept as one.
    pub response: Option<WireResponse>,
}

impl NewTurn {
    /// As the store has it.
    pub(super) fn stored(self, owner: &str, conversations: &Conversations) -> Turn {
        let Self { id, link, head, input, output, response } = self;
        let input = named(input);
        let (append, previous) = match link {
            Link::None => (None, None),
            Link::Previous(previous) => (None, Some(previous)),
            // A response that is not finished is no turn of its conversation yet.
            Link::Conversation(_) if response.as_ref().is_some_and(|made| !made.status.is_final()) => {
                (None, None)
            }
            Link::Conversation(conversation) => {
                let mut items = conversations.entries(owner, &input);
                items.extend(conversations.entries(owner, &output));
                (Some(Append { conversation, head, items }), None)
            }
        };
        let response = response.map(|made| Response {
            id: made.id.clone(),
            created_at: made.created_at,
            finished: made.status.is_final(),
            previous,
            body: conversations.close(owner, &made.id, &made),
            input: conversations.close(owner, &made.id, &input),
        });
        Turn { id, append, response }
    }
}
