//! `POST /v1/chat/completions`.

mod messages;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use openapi::chat::{ChatChunk, ChatCompletion, ChatRequest};
use poem::Request;
use poem_openapi::OpenApi;

pub use request::{ChatPlan, parse};

use crate::api::generation::{Asked, Begun, keeping};
use crate::api::payload::{Events, JsonOrEvents, Limited, WithBytes};
use crate::api::{Tag, generation};
use crate::app::App;
use crate::auth::{Authorized, permission};
use crate::conversation::{Link, NewTurn};
use crate::engine::{Operation, Prompt, Wire};
use crate::error::ApiError;
use crate::stream::chat::{ChatWire, fold};
use crate::stream::{Frames, Recorded};

const ROUTE: &str = "create_chat_completion";

/// The chat completions resource.
#[derive(Debug)]
pub struct ChatApi {
    app: Arc<App>,
}

impl ChatApi {
    /// The resource.
    pub fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[OpenApi(tag = "Tag::Chat")]
impl ChatApi {
    /// Answer a conversation
    ///
    /// As one object, or with `stream` as server-sent events while it is made.
    #[oai(path = "/v1/chat/completions", method = "post", operation_id = "create_chat_completion")]
    async fn create(
        &self,
        caller: Authorized<permission::Chat>,
        http: &Request,
        body: WithBytes<ChatRequest>,
    ) -> Result<Limited<JsonOrEvents<ChatCompletion, ChatChunk>>, ApiError> {
        let mut settlement = self.app.books.open(generation::origin(http), ROUTE, &caller);
        let WithBytes(body, bytes) = body;
        let plan = settlement.note(ChatPlan::check(body))?;
        let engine = generation::route(&self.app, &caller, &plan.model, &mut settlement)?;
        let ChatPlan { mut request, stream, shape, service_tier, conversation, truncate, .. } = plan;
        settlement.streams(stream);
        let link = conversation.map_or(Link::None, Link::Conversation);
        // What changes the request or keeps the answer must see both.
        if link == Link::None && !truncate {
            let include_usage = shape.include_usage;
            request.wire = Some(Wire { body: bytes, operation: Operation::Chat, stream, include_usage });
        }
        let context = settlement.note(keeping::context(&self.app, &caller, &link).await)?;
        let mut input = Vec::new();
        if let (Prompt::Chat(chat), true) = (&mut request.prompt, link != Link::None) {
            (chat.messages, input) = keeping::go_on(&context, &chat.messages);
        }
        let head = generation::head("chatcmpl", &*engine, service_tier);
        let asked = Asked::chat(request, truncate);
        let Begun { events, mut headers, left_out, .. } =
            generation::begin(&self.app, &caller, &*engine, asked, settlement).await?;
        headers.extend(keeping::hints(&caller, context.origin.as_deref().unwrap_or(&head.id), left_out));
        let keeper = (link != Link::None).then(|| {
            let (id, output) = (head.id.clone(), Vec::new());
            let turn = NewTurn { id, link, head: context.head, input, output, response: None };
            keeping::keeper(&self.app, &caller, turn, None)
        });
        let events = Recorded::new(events, keeper);
        if stream {
            let events = self.stream(events, ChatWire::new(&head, shape));
            return Ok(Limited(JsonOrEvents::Events(events), headers));
        }
        Ok(Limited(fold(head, shape, events).await?.into(), headers))
    }
}

impl ChatApi {
    fn stream(&self, events: Recorded, wire: ChatWire) -> Events<ChatChunk> {
        Events::new(Frames::new(events, wire, self.app.limits.keep_alive))
    }
}
