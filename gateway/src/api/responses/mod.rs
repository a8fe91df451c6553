//! `/v1/responses`.

mod background;
pub(crate) mod items;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use openapi::admin::policy::PermissionName;
use openapi::message::{Content, Message, Role};
use openapi::responses::{Deleted, ItemList, Response, ResponseEvent, ResponseRequest, ResponseStatus};
use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

pub use request::{ResponsePlan, parse};

use crate::api::conversations::{Order, page};
use crate::api::generation::fields::invalid;
use crate::api::generation::{Asked, Begun, keeping};
use crate::api::payload::{Events, JsonOrEvents, Limited, SerdeJson};
use crate::api::{Tag, generation};
use crate::app::App;
use crate::auth::{Authorized, Principal, permission};
use crate::clock::Clock;
use crate::conversation::{Link, NewTurn, item};
use crate::engine::Prompt;
use crate::error::ApiError;
use crate::stream::response::{Draft, ResponseWire, fold};
use crate::stream::{Frames, Recorded};

const ROUTE: &str = "create_response";

/// The responses resource.
pub struct ResponsesApi {
    /// The shared parts.
    pub app: Arc<App>,
}

#[OpenApi(tag = "Tag::Responses")]
impl ResponsesApi {
    /// Answer, and keep the answer
    ///
    /// As one object, or with `stream` as server-sent events while it is made. A later request goes on from it by its
    /// id, or by the id of its conversation.
    #[oai(path = "/v1/responses", method = "post", operation_id = "create_response")]
    async fn create(
        &self,
        caller: Authorized<permission::Chat>,
        http: &Request,
        body: SerdeJson<ResponseRequest>,
    ) -> Result<Limited<JsonOrEvents<Response, ResponseEvent>>, ApiError> {
        let mut settlement = self.app.books.open(generation::origin(http), ROUTE, &caller);
        let plan = settlement.note(ResponsePlan::check(body.0))?;
        let engine = generation::route(&self.app, &caller, &plan.response.model, &mut settlement)?;
        let store = settlement.note(stores(&caller, &plan))?;
        let ResponsePlan { mut response, mut request, input, link, truncate, stream, .. } = plan;
        settlement.streams(stream);
        let context = settlement.note(keeping::context(&self.app, &caller, &link).await)?;
        if let Prompt::Chat(chat) = &mut request.prompt {
            let all: Vec<_> = context.items.iter().chain(&input).cloned().collect();
            chat.messages = instructions(&response).into_iter().collect();
            chat.messages.extend(item::messages(&all));
        }
        let asked = Asked::chat(request, truncate);
        let Begun { events, mut headers, left_out, .. } =
            generation::begin(&self.app, &caller, &*engine, asked, settlement).await?;
        headers.extend(keeping::hints(&caller, context.origin.as_deref().unwrap_or(&response.id), left_out));
        response.model.clone_from(&engine.card().id);
        response.created_at = self.app.conversations.now();
        response.store = store;
        response.truncated_items = (left_out > 0).then(|| u32::try_from(left_out).unwrap_or(u32::MAX));
        if response.background {
            response.status = ResponseStatus::Queued;
        }
        let background = response.background;
        let draft = Draft::new(response, Clock::System);
        let (id, output) = (draft.response().id.clone(), Vec::new());
        let turn = NewTurn { id: id.clone(), link, head: context.head, input, output, response: None };
        let keeps = store || matches!(turn.link, Link::Conversation(_));
        let keeper =
            keeps.then(|| keeping::keeper(&self.app, &caller, turn.clone(), store.then(|| draft.clone())));
        let events = Recorded::new(events, keeper);
        let answer = if background {
            background::begin(&self.app, &caller.subject, turn, draft.clone(), events).await?;
            if stream {
                JsonOrEvents::Events(self.follow(&caller, &id, None).await?)
            } else {
                JsonOrEvents::Json(SerdeJson(draft.response().clone()))
            }
        } else if stream {
            let frames = Frames::new(events, ResponseWire::new(draft), self.app.limits.keep_alive);
            JsonOrEvents::Events(Events::new(frames))
        } else {
            JsonOrEvents::Json(SerdeJson(fold(&draft, events).await?))
        };
        Ok(Limited(answer, headers))
    }

    /// Describe a response that is kept
    ///
    /// With `stream`, the events of one that is made in the background, from any place on: as long as it is made, and
    /// ten minutes more.
    #[oai(path = "/v1/responses/:id", method = "get", operation_id = "retrieve_response")]
    async fn retrieve(
        &self,
        caller: Authorized<permission::Conversations>,
        /// The response's id.
        id: Path<String>,
        /// Answer as server-sent events.
        stream: Query<Option<bool>>,
        /// Only with `stream`: the `sequence_number` behind which the events begin.
        starting_after: Query<Option<u64>>,
    ) -> Result<JsonOrEvents<Response, ResponseEvent>, ApiError> {
        if stream.0 == Some(true) {
            return Ok(JsonOrEvents::Events(self.follow(&caller, &id, starting_after.0).await?));
        }
        if starting_after.0.is_some() {
            return Err(invalid("starting_after", "it is only allowed when 'stream' is enabled."));
        }
        let response = background::current(&self.app, &caller.subject, &id).await?;
        Ok(JsonOrEvents::Json(SerdeJson(response)))
    }

    /// Give up a response that is made in the background
    #[oai(path = "/v1/responses/:id/cancel", method = "post", operation_id = "cancel_response")]
    async fn cancel(
        &self,
        caller: Authorized<permission::Conversations>,
        /// The response's id.
        id: Path<String>,
    ) -> Result<SerdeJson<Response>, ApiError> {
        Ok(SerdeJson(background::cancel(&self.app, &caller.subject, &id).await?))
    }

    /// Delete a response that is kept
    ///
    /// Responses that go on from it cannot be gone on from any more.
    #[oai(path = "/v1/responses/:id", method = "delete", operation_id = "delete_response")]
    async fn delete(
        &self,
        caller: Authorized<permission::Conversations>,
        /// The response's id.
        id: Path<String>,
    ) -> Result<SerdeJson<Deleted>, ApiError> {
        let response = background::current(&self.app, &caller.subject, &id).await?;
        if !response.status.is_final() {
            // Its maker would keep it again at its end.
            background::cancel(&self.app, &caller.subject, &id).await?;
        }
        self.app.conversations.remove_response(&caller.subject, &id).await?;
        Ok(SerdeJson(Deleted { id: id.0, object: "response".to_owned(), deleted: true }))
    }

    /// List the input items of a response that is kept
    #[oai(path = "/v1/responses/:id/input_items", method = "get", operation_id = "list_input_items")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the path or the query")]
    async fn input_items(
        &self,
        caller: Authorized<permission::Conversations>,
        /// The response's id.
        id: Path<String>,
        /// The item's id behind which the page begins.
        after: Query<Option<String>>,
        /// How many, from 1 to 100; 20 if not said.
        limit: Query<Option<u32>>,
        /// `asc` or `desc`; `desc` if not said.
        order: Query<Option<String>>,
    ) -> Result<SerdeJson<ItemList>, ApiError> {
        let order = Order::parse(order.0.as_deref())?;
        let items = self.app.conversations.input_items(&caller.subject, &id).await?;
        Ok(SerdeJson(page(items, order, after.0.as_deref(), limit.0)?))
    }
}

impl ResponsesApi {
    async fn follow(
        &self,
        caller: &Principal,
        id: &str,
        after: Option<u64>,
    ) -> Result<Events<ResponseEvent>, ApiError> {
        Ok(Events::new(background::follow(&self.app, &caller.subject, id, after).await?))
    }
}

/// Whether the response is kept: by default it is, for those who may keep anything.
fn stores(caller: &Principal, plan: &ResponsePlan) -> Result<bool, ApiError> {
    let may = caller.require(PermissionName::Conversations);
    match plan.store {
        Some(false) => Ok(false),
        Some(true) => may.map(|()| true).map_err(|error| error.with_param("store")),
        None if plan.response.background => {
            may.map(|()| true).map_err(|error| error.with_param("background"))
        }
        None => Ok(may.is_ok()),
    }
}

fn instructions(response: &Response) -> Option<Message> {
    response
        .instructions
        .as_ref()
        .map(|text| Message { content: Some(Content::Text(text.clone())), ..item::blank(Role::System) })
}
