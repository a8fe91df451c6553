//! A response from its beginning to its end.

use std::sync::{Arc, OnceLock};

use openapi::responses::{
    IncompleteDetails, InputTokensDetails, Item, OutputTokensDetails, Response, ResponseError,
    ResponseStatus, ResponseUsage,
};

use crate::clock::Clock;
use crate::engine::{FinishReason, Usage};
use crate::error::ApiError;

/// How a response ended.
#[derive(Debug, Clone)]
pub enum Ending {
    /// The model was done, or at its limit.
    Finished(FinishReason, Usage),
    /// It broke.
    Failed(ApiError),
    /// Nobody read on.
    Left,
    /// Its client gave it up.
    Cancelled,
}

/// A response that is being made. Clones end at the same time.
#[derive(Debug, Clone)]
pub struct Draft {
    response: Response,
    clock: Clock,
    ended: Arc<OnceLock<u64>>,
}

impl Draft {
    /// What is known of a response before it is made.
    pub fn new(response: Response, clock: Clock) -> Self {
        Self { response, clock, ended: Arc::default() }
    }

    /// The response as it is while it is made.
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// The response with its end.
    pub fn end(&self, output: Vec<Item>, ending: &Ending) -> Response {
        let mut response = Response { output, ..self.response.clone() };
        let mut incomplete = |reason: &str| {
            response.incomplete_details = Some(IncompleteDetails { reason: reason.to_owned() });
            ResponseStatus::Incomplete
        };
        response.status = match ending {
            Ending::Finished(FinishReason::Length, _) => incomplete("max_output_tokens"),
            Ending::Finished(..) => ResponseStatus::Completed,
            Ending::Left => incomplete("client_left"),
            Ending::Failed(_) => ResponseStatus::Failed,
            Ending::Cancelled => ResponseStatus::Cancelled,
        };
        if let Ending::Finished(_, usage) = ending {
            response.usage = Some(wire_usage(*usage));
        }
        if let Ending::Failed(error) = ending {
            let body = error.envelope().error;
            let code = body.code.map_or_else(|| "server_error".to_owned(), std::borrow::Cow::into_owned);
            response.error = Some(ResponseError { code, message: body.message });
        }
        if response.status == ResponseStatus::Completed {
            response.completed_at = Some(*self.ended.get_or_init(|| self.clock.now_s()));
        }
        response
    }
}

fn wire_usage(usage: Usage) -> ResponseUsage {
    ResponseUsage {
        input_tokens: usage.prompt_tokens,
        input_tokens_details: InputTokensDetails { cached_tokens: usage.cached_tokens },
        output_tokens: usage.completion_tokens,
        output_tokens_details: OutputTokensDetails { reasoning_tokens: usage.reasoning_tokens },
        total_tokens: usage.prompt_tokens.saturating_add(usage.completion_tokens),
    }
}
