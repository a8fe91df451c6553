//! Anthropic's Messages API: `POST /v1/messages` and `POST /v1/messages/count_tokens`.

mod content;
mod prompt;
mod request;
#[cfg(test)]
mod tests;
mod tools;

use std::sync::Arc;

use openapi::messages::{CountTokensRequest, MessagesAnswer, MessagesEvent, MessagesRequest, TokensCount};
use poem::Request;
use poem_openapi::OpenApi;

pub use request::{MessagesPlan, parse};

use crate::api::generation::{Asked, Begun};
use crate::api::payload::{Events, JsonOrEvents, Limited, SerdeJson};
use crate::api::{Tag, generation};
use crate::app::App;
use crate::auth::carrier::BearerOrApiKey;
use crate::auth::{Authorized, permission};
use crate::conversation::ids;
use crate::engine::{ChatPrompt, Engine, EngineError, TokenCount, TokenizeRequest};
use crate::error::ApiError;
use crate::error::messages::MessagesError;
use crate::stream::message::{MessagesHead, MessagesWire, fold};
use crate::stream::{Frames, Recorded};

const ROUTE: &str = "create_message";

/// The messages resource.
pub struct MessagesApi {
    /// The shared parts.
    pub app: Arc<App>,
}

#[OpenApi(tag = "Tag::Messages")]
impl MessagesApi {
    /// Answer messages, as Anthropic's clients ask
    ///
    /// As one object, or with `stream` as server-sent events while it is made.
    #[oai(path = "/v1/messages", method = "post", operation_id = "create_message")]
    async fn create(
        &self,
        caller: Authorized<permission::Chat, BearerOrApiKey>,
        http: &Request,
        body: SerdeJson<MessagesRequest>,
    ) -> Result<Limited<JsonOrEvents<MessagesAnswer, MessagesEvent>>, MessagesError> {
        let origin = generation::origin(http);
        let request_id = Arc::clone(&origin.id);
        let mut settlement = self.app.books.open(origin, ROUTE, &caller);
        let plan = settlement.note(MessagesPlan::check(body.0))?;
        let engine = generation::route(&self.app, &caller, &plan.model, &mut settlement)?;
        settlement.streams(plan.stream);
        let asked = Asked::all(vec![plan.request]);
        let Begun { events, headers, prompt_tokens, .. } =
            generation::begin(&self.app, &caller, &*engine, asked, settlement).await?;
        let head = MessagesHead {
            id: ids::fresh("msg"),
            model: engine.card().id.clone(),
            request_id,
            prompt_tokens,
            shows_thinking: plan.shows_thinking,
        };
        let events = Recorded::new(events, None);
        if plan.stream {
            let frames = Frames::new(events, MessagesWire::new(head), self.app.limits.keep_alive);
            return Ok(Limited(JsonOrEvents::Events(Events::new(frames)), headers));
        }
        let answer = fold(head, events).await?;
        Ok(Limited(JsonOrEvents::Json(SerdeJson(answer)), headers))
    }

    /// Count the tokens of messages
    ///
    /// Exactly as many as an answer to them would have in its prompt; of a model that another server serves, about as
    /// many.
    #[oai(path = "/v1/messages/count_tokens", method = "post", operation_id = "count_message_tokens")]
    async fn count_tokens(
        &self,
        caller: Authorized<permission::Chat, BearerOrApiKey>,
        body: SerdeJson<CountTokensRequest>,
    ) -> Result<SerdeJson<TokensCount>, MessagesError> {
        let (model, prompt) = request::to_count(body.0)?;
        let engine = generation::named(&self.app, &caller, Some(&model))?;
        Ok(SerdeJson(TokensCount { input_tokens: count(&*engine, prompt).await? }))
    }
}

/// How long a prompt is, also where it is longer than the window.
async fn count(engine: &dyn Engine, prompt: ChatPrompt) -> Result<u32, ApiError> {
    match engine.tokenize(TokenizeRequest::Chat(prompt.clone())).await {
        Ok(tokens) => Ok(u32::try_from(tokens.len()).unwrap_or(u32::MAX)),
        // The tokenizer is elsewhere.
        Err(EngineError::Unsupported(_)) => {
            let ready = engine.prepare(request::shortest(prompt)).await?;
            let (TokenCount::Exact(count) | TokenCount::Estimate(count)) = ready.prompt_tokens();
            Ok(count)
        }
        Err(error) => Err(error.into()),
    }
}
