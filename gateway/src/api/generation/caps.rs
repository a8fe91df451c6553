//! The caller's caps on one request: how long its prompt and its answer may be.

use crate::auth::Principal;
use crate::engine::{GenerationRequest, TokenCount};
use crate::error::ApiError;

/// Bounds the answer: what was asked for must be within the cap, what was left open ends at it.
pub(super) fn bound_output(
    caller: &Principal,
    mut request: GenerationRequest,
) -> Result<GenerationRequest, ApiError> {
    let Some(cap) = caller.policy.output_cap else { return Ok(request) };
    if request.max_tokens.is_some_and(|asked| asked > cap) {
        let message = format!("this credential may ask for {cap} tokens an answer at most");
        return Err(ApiError::invalid(message).with_param("max_tokens").with_code("output_cap_exceeded"));
    }
    request.max_tokens.get_or_insert(cap);
    Ok(request)
}

/// Refuses a prompt that is longer than the caller may send.
pub(super) fn check_context(caller: &Principal, prompt: TokenCount) -> Result<(), ApiError> {
    let (TokenCount::Exact(tokens) | TokenCount::Estimate(tokens)) = prompt;
    match caller.policy.context_cap {
        Some(cap) if tokens > cap => {
            let message =
                format!("the prompt has {tokens} tokens, and this credential may send {cap} at most");
            Err(ApiError::invalid(message).with_param("messages").with_code("context_length_exceeded"))
        }
        _ => Ok(()),
    }
}
