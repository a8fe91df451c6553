//! What the caller sees of an engine's refusal or failure.

use std::time::Duration;

use super::EngineError;
use crate::error::{ApiError, ErrorKind};

/// Loading takes about a second: the sooner a client comes back, the better.
const READY_SOON: Duration = Duration::from_secs(1);

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
            EngineError::SlowReader => Self::new(ErrorKind::RequestTimeout, message).with_code("slow_reader"),
            // What broke is for the operator.
            EngineError::Failed(_) => Self::server().with_code("engine_failed").with_cause(error),
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
}
