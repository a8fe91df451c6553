//! What an engine's refusal or failure means: to the caller, and to whoever may ask another engine.

use std::time::Duration;

use crate::error::{ApiError, ErrorKind};

/// Why an engine refused or failed. The text is written for the caller, but where it says otherwise.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The request does not fit the model.
    #[error("{message}")]
    Invalid {
        /// What is wrong and what to do.
        message: String,
        /// The request's field.
        param: Option<&'static str>,
    },
    /// Prompt and answer do not fit the window.
    #[error(
        "this model's maximum context length is {window} tokens, but the request has {prompt} tokens in its prompt{}; \
         shorten the messages or the answer", .output.map(|n| format!(" and asks for {n} more")).unwrap_or_default()
    )]
    ContextLength {
        /// Tokens of the prompt.
        prompt: u32,
        /// Tokens asked for, where the request said so.
        output: Option<u32>,
        /// The window.
        window: u32,
    },
    /// The operation is not possible with this model.
    #[error("{0}")]
    Unsupported(String),
    /// The queue is at its bound.
    #[error("the model's queue is full; retry later")]
    QueueFull {
        /// When a place is likely, from the queue's measured rate.
        retry_after: Duration,
    },
    /// Loading, draining or gone.
    #[error("the model is not ready: {0}")]
    NotReady(&'static str),
    /// On its way into memory, with as many waiting for it as may, or for as long as they may.
    #[error("the model is being loaded; retry later")]
    Loading {
        /// When it is likely to be there, from its progress or its last load.
        retry_after: Duration,
    },
    /// Not in memory, and the attempt to load it failed.
    #[error("the model could not be loaded; retry later")]
    NotLoaded {
        /// When the next request makes another attempt.
        retry_after: Duration,
    },
    /// The reader took no events for too long.
    #[error("the client read too slowly; the stream was ended")]
    SlowReader,
    /// The engine broke in mid-stream.
    #[error("the engine failed: {0}")]
    Failed(String),
    /// A remote server refused or failed. Only of a request that is at fault the text is for the caller, else it is for
    /// the log.
    #[error("{message}")]
    Upstream {
        /// What it comes down to.
        kind: UpstreamErrorKind,
        /// The status that was answered, where one was.
        status: Option<u16>,
        /// When the server wants to be asked again, where it said so.
        retry_after: Option<Duration>,
        /// What happened.
        message: String,
        /// The request's field, where the server named one.
        param: Option<Box<str>>,
    },
}

/// What the failure of a remote server comes down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamErrorKind {
    /// There is no connection to it.
    Unreachable,
    /// It took longer than it may.
    TimedOut,
    /// It has no room, or this gateway is over its limits there.
    Overloaded,
    /// It failed.
    Failed,
    /// What it sent is no answer, or not a whole one.
    Broken,
    /// It does not take this gateway's credential.
    Credential,
    /// It does not serve the model.
    UnknownModel,
    /// Prompt and answer do not fit its window.
    TooLong,
    /// The request is at fault in another way.
    Invalid,
}

impl UpstreamErrorKind {
    /// A bounded name, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Overloaded => "overloaded",
            Self::Failed => "failed",
            Self::Broken => "broken",
            Self::Credential => "credential",
            Self::UnknownModel => "unknown_model",
            Self::TooLong => "too_long",
            Self::Invalid => "invalid",
        }
    }
}

/// Loading takes about a second: the sooner a client comes back, the better.
const READY_SOON: Duration = Duration::from_secs(1);

/// What a refusal or failure is to be blamed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The request or its client: it would end alike everywhere.
    Request,
    /// The request does not fit this model; another may take it.
    Fit,
    /// The engine has too much to do; another may not, and it itself may have time later.
    Busy(Duration),
    /// The engine is not well; another may be, and it itself may be again.
    Engine,
}

impl EngineError {
    /// What it is to be blamed on. All but [`Blame::Request`] may be tried elsewhere, before anything was answered.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Invalid { .. } | Self::SlowReader => Blame::Request,
            Self::ContextLength { .. } | Self::Unsupported(_) => Blame::Fit,
            Self::QueueFull { retry_after } | Self::Loading { retry_after } => Blame::Busy(*retry_after),
            Self::NotReady(_) | Self::NotLoaded { .. } | Self::Failed(_) => Blame::Engine,
            Self::Upstream { kind, retry_after, .. } => match kind {
                UpstreamErrorKind::Invalid => Blame::Request,
                UpstreamErrorKind::TooLong => Blame::Fit,
                UpstreamErrorKind::Overloaded => Blame::Busy(retry_after.unwrap_or(READY_SOON)),
                UpstreamErrorKind::Unreachable
                | UpstreamErrorKind::TimedOut
                | UpstreamErrorKind::Failed
                | UpstreamErrorKind::Broken
                | UpstreamErrorKind::Credential
                | UpstreamErrorKind::UnknownModel => Blame::Engine,
            },
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::Invalid { param, .. } => {
                let invalid = Self::invalid(message);
                match param {
                    Some(param) => invalid.with_param(param),
                    None => invalid,
                }
            }
            EngineError::ContextLength { .. } => Self::invalid(message).with_code("context_length_exceeded"),
            EngineError::Unsupported(_) => Self::invalid(message).with_code("unsupported_by_model"),
            EngineError::QueueFull { retry_after } => Self::new(ErrorKind::Overloaded, message)
                .with_code("queue_full")
                .with_retry_after(retry_after),
            EngineError::NotReady(_) => Self::new(ErrorKind::Overloaded, message)
                .with_code("model_not_ready")
                .with_retry_after(READY_SOON),
            EngineError::Loading { retry_after } | EngineError::NotLoaded { retry_after } => {
                Self::new(ErrorKind::Overloaded, message)
                    .with_code("model_not_ready")
                    .with_retry_after(retry_after)
            }
            EngineError::SlowReader => Self::new(ErrorKind::RequestTimeout, message).with_code("slow_reader"),
            // What broke is for the operator.
            EngineError::Failed(_) => Self::server().with_code("engine_failed").with_cause(error),
            EngineError::Upstream { kind, retry_after, ref param, .. } => {
                let told = of_upstream(kind, message, retry_after);
                let told = match param {
                    Some(param) => told.with_param(param.to_string()),
                    None => told,
                };
                told.with_cause(error)
            }
        }
    }
}

/// Only what the request is at fault for is told in the server's words.
fn of_upstream(kind: UpstreamErrorKind, message: String, retry_after: Option<Duration>) -> ApiError {
    let gateway = |text, code| ApiError::new(ErrorKind::BadGateway, text).with_code(code);
    match kind {
        UpstreamErrorKind::Invalid => ApiError::invalid(message),
        UpstreamErrorKind::TooLong => ApiError::invalid(message).with_code("context_length_exceeded"),
        UpstreamErrorKind::UnknownModel => {
            let text = "the server of this model does not know it at present; try again, or ask for another";
            ApiError::new(ErrorKind::NotFound, text).with_param("model").with_code("model_not_found")
        }
        UpstreamErrorKind::Overloaded => {
            ApiError::new(ErrorKind::Overloaded, "the model's server has no room; retry later")
                .with_code("upstream_overloaded")
                .with_retry_after(retry_after.unwrap_or(READY_SOON))
        }
        UpstreamErrorKind::Unreachable => {
            gateway("the model's server cannot be reached; try again", "upstream_unreachable")
        }
        UpstreamErrorKind::TimedOut => {
            gateway("the model's server did not answer in time; try again", "upstream_timeout")
        }
        UpstreamErrorKind::Credential => {
            gateway("the model's server does not take this gateway's credential", "upstream_credential")
        }
        UpstreamErrorKind::Failed | UpstreamErrorKind::Broken => {
            gateway("the model's server failed to answer; try again", "upstream_failed")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_too_long_names_both_counts_and_openai_s_code() {
        let error =
            ApiError::from(EngineError::ContextLength { prompt: 5000, output: Some(100), window: 4096 });
        let body = error.envelope().error;
        assert_eq!(body.code.as_deref(), Some("context_length_exceeded"));
        assert!(body.message.contains("4096") && body.message.contains("5000"), "{}", body.message);
    }

    #[test]
    fn a_full_queue_says_when_to_come_back() {
        let error = ApiError::from(EngineError::QueueFull { retry_after: Duration::from_millis(2500) });
        assert_eq!(error.response().header("retry-after"), Some("3"));
    }

    #[test]
    fn a_broken_engine_s_text_is_kept_from_the_client() {
        let error = ApiError::from(EngineError::Failed("decode returned -3 at /model.gguf".to_owned()));
        assert!(!error.envelope().error.message.contains("gguf"));
    }

    fn upstream(kind: UpstreamErrorKind) -> EngineError {
        let message = "at /srv/model: no".to_owned();
        let (status, retry_after) = (Some(500), Some(Duration::from_secs(7)));
        EngineError::Upstream { kind, status, retry_after, message, param: Some("top_k".into()) }
    }

    fn told(kind: UpstreamErrorKind) -> ApiError {
        upstream(kind).into()
    }

    #[test]
    fn a_server_s_words_are_told_only_where_the_request_is_at_fault() {
        use UpstreamErrorKind::{
            Broken, Credential, Failed, Invalid, Overloaded, TimedOut, TooLong, UnknownModel, Unreachable,
        };
        for (kind, status, is_at_fault) in [
            (Invalid, 400, true),
            (TooLong, 400, true),
            (UnknownModel, 404, false),
            (Overloaded, 503, false),
            (Unreachable, 502, false),
            (TimedOut, 502, false),
            (Credential, 502, false),
            (Failed, 502, false),
            (Broken, 502, false),
        ] {
            let error = told(kind);
            assert_eq!(error.status().as_u16(), status, "{kind:?}");
            assert_eq!(error.envelope().error.message.contains("/srv"), is_at_fault, "{kind:?}");
            let blame = upstream(kind).blame();
            assert_eq!(matches!(blame, Blame::Request | Blame::Fit), is_at_fault, "{kind:?}");
        }
        assert_eq!(told(Overloaded).response().header("retry-after"), Some("7"));
        assert_eq!(told(Invalid).envelope().error.param.as_deref(), Some("top_k"));
    }
}
