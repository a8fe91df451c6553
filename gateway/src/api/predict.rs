//! `POST /v1/predict`: the smallest possible call.

use std::sync::Arc;

use openapi::message::{Content, Message, ResponseFormat, Role, ToolChoice, ToolMode};
use openapi::predict::{PredictRequest, PredictResponse};
use poem::Request;
use poem_openapi::OpenApi;

use crate::api::generation::{Asked, Begun};
use crate::api::payload::{Limited, SerdeJson};
use crate::api::{Tag, generation};
use crate::app::App;
use crate::auth::{Authorized, permission};
use crate::engine::{ChatPrompt, GenerationRequest, Prompt, Sampling};
use crate::error::ApiError;
use crate::stream::StreamShape;
use crate::stream::chat::fold;

const ROUTE: &str = "predict";

/// The predict resource.
#[derive(Debug)]
pub struct PredictApi {
    /// The shared parts.
    pub app: Arc<App>,
}

#[OpenApi(tag = "Tag::Predict")]
impl PredictApi {
    /// Answer a prompt
    ///
    /// The prompt is one message of a user; the answer's text comes whole. All else is as in a chat completion.
    #[oai(path = "/v1/predict", method = "post", operation_id = "predict")]
    async fn predict(
        &self,
        caller: Authorized<permission::Chat>,
        http: &Request,
        body: SerdeJson<PredictRequest>,
    ) -> Result<Limited<SerdeJson<PredictResponse>>, ApiError> {
        let mut settlement = self.app.books.open(generation::origin(http), ROUTE, &caller);
        let SerdeJson(PredictRequest { prompt, model, max_tokens }) = body;
        let request = settlement.note(plan(prompt, max_tokens))?;
        let named = settlement.note(generation::named(&self.app, &caller, model.as_deref()))?;
        let engine = generation::route(&self.app, &caller, &named.card().id, &mut settlement)?;
        let Begun { events, headers, .. } =
            generation::begin(&self.app, &caller, &*engine, Asked::chat(request, false), settlement).await?;
        let head = generation::head("predict", &*engine, None);
        let shape = StreamShape { choices: 1, ..StreamShape::default() };
        let answer = fold(head, shape, events).await?.folded().ok_or_else(ApiError::server)?;
        let text = answer.choices.into_iter().next().and_then(|choice| choice.message.content);
        let answer =
            PredictResponse { result: text.unwrap_or_default(), model: answer.model, usage: answer.usage };
        Ok(Limited(SerdeJson(answer), headers))
    }
}

fn plan(prompt: String, max_tokens: Option<u32>) -> Result<GenerationRequest, ApiError> {
    if prompt.is_empty() {
        return Err(ApiError::invalid("`prompt` must not be empty").with_param("prompt"));
    }
    if max_tokens == Some(0) {
        return Err(ApiError::invalid("`max_tokens` must be at least 1").with_param("max_tokens"));
    }
    let message = Message {
        role: Role::User,
        content: Some(Content::Text(prompt)),
        name: None,
        tool_calls: None,
        tool_call_id: None,
        refusal: None,
        reasoning_content: None,
    };
    Ok(GenerationRequest {
        prompt: Prompt::Chat(ChatPrompt {
            messages: vec![message],
            tools: Vec::new(),
            tool_choice: ToolChoice::Mode(ToolMode::None),
            parallel_tool_calls: true,
        }),
        sampling: Sampling::default(),
        max_tokens,
        stop: Vec::new(),
        choices: 1,
        logprobs: None,
        wire: None,
        format: ResponseFormat::Text,
    })
}
