//! `POST /v1/tokenize` and `/v1/detokenize`: a model's tokens.

use std::sync::Arc;

use openapi::message::{ToolChoice, ToolMode};
use openapi::tokens::{DetokenizeRequest, DetokenizeResponse, TokenizeRequest, TokenizeResponse};
use poem_openapi::OpenApi;

use crate::api::payload::SerdeJson;
use crate::api::{Tag, generation};
use crate::app::App;
use crate::auth::{Authorized, permission};
use crate::engine::{self, ChatPrompt};
use crate::error::ApiError;

/// The tokens resource.
pub struct TokensApi {
    /// The shared parts.
    pub app: Arc<App>,
}

#[OpenApi(tag = "Tag::Tokens")]
impl TokensApi {
    /// Turn a text or a chat into tokens
    ///
    /// A chat is counted exactly as a chat completion would count its prompt.
    #[oai(path = "/v1/tokenize", method = "post", operation_id = "tokenize")]
    async fn tokenize(
        &self,
        caller: Authorized<permission::Chat>,
        request: SerdeJson<TokenizeRequest>,
    ) -> Result<SerdeJson<TokenizeResponse>, ApiError> {
        let SerdeJson(request) = request;
        let engine = generation::named(&self.app, &caller, request.model.as_deref())?;
        let wants_texts = request.return_token_strs.unwrap_or(false);
        let pieces = engine.tokenize(what_to_tokenize(request)?).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(SerdeJson(TokenizeResponse {
            model: engine.card().id.clone(),
            count: pieces.len(),
            max_model_len: engine.card().context_window,
            token_strs: wants_texts.then(|| pieces.iter().map(|piece| text(&piece.bytes)).collect()),
            tokens: pieces.into_iter().map(|piece| piece.id).collect(),
        }))
    }

    /// Turn tokens into text
    #[oai(path = "/v1/detokenize", method = "post", operation_id = "detokenize")]
    async fn detokenize(
        &self,
        caller: Authorized<permission::Chat>,
        request: SerdeJson<DetokenizeRequest>,
    ) -> Result<SerdeJson<DetokenizeResponse>, ApiError> {
        let SerdeJson(request) = request;
        let engine = generation::named(&self.app, &caller, request.model.as_deref())?;
        let prompt = engine.detokenize(request.tokens).await?;
        Ok(SerdeJson(DetokenizeResponse { model: engine.card().id.clone(), prompt }))
    }
}

pub(super) fn what_to_tokenize(request: TokenizeRequest) -> Result<engine::TokenizeRequest, ApiError> {
    match (request.prompt, request.messages) {
        (Some(_), Some(_)) => {
            Err(ApiError::invalid("send either `prompt` or `messages`, not both").with_param("messages"))
        }
        (None, None) => Err(ApiError::invalid("send a `prompt` or `messages`").with_param("prompt")),
        (Some(text), None) => Ok(engine::TokenizeRequest::Text {
            text,
            add_special: request.add_special_tokens.unwrap_or(true),
            parse_special: request.parse_special.unwrap_or(true),
        }),
        (None, Some(messages)) if messages.is_empty() => {
            Err(ApiError::invalid("`messages` must not be empty").with_param("messages"))
        }
        (None, Some(messages)) => Ok(engine::TokenizeRequest::Chat(ChatPrompt {
            messages,
            tools: request.tools.unwrap_or_default(),
            tool_choice: ToolChoice::Mode(ToolMode::Auto),
            parallel_tool_calls: true,
        })),
    }
}
