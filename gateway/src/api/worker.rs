//! What a gateway asks of its worker beside OpenAI's operations: how long a prompt is, its tokens, how busy the model is.
//!
//! A [worker](crate::engine::child) is this program, serving one model over a socket that only its owner can reach. Its
//! other operations are those of every gateway; these are in no document.

use std::sync::Arc;

use bytes::Bytes;
use poem::endpoint::make;
use poem::{Endpoint, Request, Response, Route, post};
use serde::Serialize;

use crate::api::payload::{SerdeJson, parse};
use crate::api::{chat, completions, tokens};
use crate::app::App;
use crate::engine::child::protocol::{Busy, Counted, Piece};
use crate::engine::{Engine, EngineError, GenerationRequest, TokenCount};
use crate::error::ApiError;

/// Adds the operations.
pub fn add(routes: Route, app: &Arc<App>) -> Route {
    let at = |routes: Route, path: &str, operation: Operation| {
        routes.at(format!("/v1/worker/{path}"), post(endpoint(app, operation)))
    };
    let routes = at(routes, "chat", Operation::Chat);
    let routes = at(routes, "completion", Operation::Completion);
    let routes = at(routes, "tokens", Operation::Tokens);
    let routes = at(routes, "text", Operation::Text);
    at(routes, "load", Operation::Load)
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    Chat,
    Completion,
    Tokens,
    Text,
    Load,
}

fn endpoint(app: &Arc<App>, operation: Operation) -> impl Endpoint<Output = Response> + use<> {
    let app = Arc::clone(app);
    make(move |mut request: Request| {
        let app = Arc::clone(&app);
        async move {
            let body = request.take_body().into_bytes().await?;
            Ok::<_, poem::Error>(answer(&app, operation, &body).await?)
        }
    })
}

async fn answer(app: &App, operation: Operation, body: &Bytes) -> Result<Response, ApiError> {
    let model = app.catalog.default_name()?;
    let engine = app.catalog.resolve(&model)?;
    match operation {
        Operation::Chat => count(&*engine, chat::parse(body)?.request).await,
        Operation::Completion => {
            let mut requests = completions::parse(body)?.requests;
            let one = requests.pop().ok_or_else(|| ApiError::invalid("send a prompt"))?;
            count(&*engine, one).await
        }
        Operation::Tokens => {
            let pieces = engine.tokenize(tokens::what_to_tokenize(parse(body)?)?).await?;
            Ok(json(pieces.into_iter().map(Piece::from).collect::<Vec<_>>()))
        }
        Operation::Text => {
            let tokens =
                serde_json::from_slice(body).map_err(|error| ApiError::invalid(error.to_string()))?;
            Ok(json(engine.detokenize(tokens).await?))
        }
        Operation::Load => Ok(json(Busy::from(engine.load()))),
    }
}

async fn count(engine: &dyn Engine, request: GenerationRequest) -> Result<Response, ApiError> {
    let counted = match engine.prepare(request).await {
        Ok(ready) => {
            let (TokenCount::Exact(prompt) | TokenCount::Estimate(prompt)) = ready.prompt_tokens();
            Ok(Counted::Fits { prompt, output: ready.max_output_tokens() })
        }
        Err(error) => Counted::refused(error),
    };
    Ok(json(counted.map_err(|error: EngineError| ApiError::from(error))?))
}

fn json<T: Serialize + Send>(value: T) -> Response {
    poem::IntoResponse::into_response(SerdeJson(value))
}
