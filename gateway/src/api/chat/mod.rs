//! `POST /v1/chat/completions`.

mod messages;
mod request;
#[cfg(test)]
mod tests;
mod tools;

use std::sync::Arc;

use openapi::chat::{ChatChunk, ChatCompletion, ChatRequest};
use poem::Request;
use poem_openapi::OpenApi;

pub use request::{ChatPlan, parse};

use crate::api::generation::Begun;
use crate::api::payload::{Events, JsonOrEvents, Limited, SerdeJson};
use crate::api::{Tag, generation};
use crate::app::App;
use crate::auth::{Authorized, permission};
use crate::error::ApiError;
use crate::stream::chat::{ChatWire, fold};
use crate::stream::{Frames, Watched};

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
        body: SerdeJson<ChatRequest>,
    ) -> Result<Limited<JsonOrEvents<ChatCompletion, ChatChunk>>, ApiError> {
        let mut settlement = self.app.books.open(generation::request_id(http), ROUTE, &caller.subject);
        let plan = settlement.note(ChatPlan::check(body.0))?;
        let engine = generation::route(&self.app, &caller, &plan.model, &mut settlement)?;
        let ChatPlan { request, stream, shape, service_tier, .. } = plan;
        let Begun { events, headers } =
            generation::begin(&self.app, &caller, &*engine, vec![request], settlement).await?;
        let head = generation::head("chatcmpl", &*engine, service_tier);
        if stream {
            let events = self.stream(events, ChatWire::new(&head, shape));
            return Ok(Limited(JsonOrEvents::Events(events), headers));
        }
        let answer = fold(head, shape, events).await?;
        Ok(Limited(JsonOrEvents::Json(SerdeJson(answer)), headers))
    }
}

impl ChatApi {
    fn stream(&self, events: Watched, wire: ChatWire) -> Events<ChatChunk> {
        Events::new(Frames::new(events, wire, self.app.limits.keep_alive))
    }
}
