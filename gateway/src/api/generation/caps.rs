//! The caller's caps on one request: how long its prompt and its answer may be.

use crate::auth::Principal;
use crate::engine::{GenerationRequest, TokenCount};
use crate::error::ApiError;

/// Tokens that are reserved for an answer whose length was left open, where tokens are limited: the rest of a window
/// would take the whole limit for every request.
const RESERVED: u32 = 1024;

/// Bounds the answer: what was asked for must be within the cap, what was left open ends at it.
pub(super) fn bound_output(
    caller: &Principal,
    mut request: GenerationRequest,
) -> Result<GenerationRequest, ApiError> {
    let policy = &caller.policy;
    if let (Some(cap), Some(asked)) = (policy.output_cap, request.max_tokens)
        && asked > cap
    {
        let message = format!("this credential may ask for {cap} tokens an answer at most");
        return Err(ApiError::invalid(message).with_param("max_tokens").with_code("output_cap_exceeded"));
    }
    if request.max_tokens.is_none() {
        request.max_tokens = left_open(caller);
        // The client's own words do not have the bound.
        request.wire = request.wire.filter(|_| request.max_tokens.is_none());
    }
    Ok(request)
}

/// What bounds an answer whose length was left open, where something of the caller's does.
pub(super) fn left_open(caller: &Principal) -> Option<u32> {
    let policy = &caller.policy;
    let limited = [policy.tokens_per_minute, policy.tokens_per_day].into_iter().flatten().min();
    let reserved = limited.map(|limit| u32::try_from(limit / 2).unwrap_or(u32::MAX).clamp(1, RESERVED));
    [policy.output_cap, reserved].into_iter().flatten().min()
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
