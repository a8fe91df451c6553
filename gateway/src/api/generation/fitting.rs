//! Prompts counted, and made to fit the window where the request allows it.

use super::caps;
use crate::auth::Principal;
use crate::conversation::fit::Window;
use crate::engine::{Engine, EngineError, GenerationRequest, Prepared, Prompt, TokenCount};
use crate::error::ApiError;

/// Tokens of an answer for which room is made where its length was left open, at most a quarter of the window.
const ROOM: u32 = 256;

/// A prompt that fits.
pub(super) struct Fitted {
    pub(super) ready: Box<dyn Prepared>,
    /// Messages that were left out for it.
    pub(super) left_out: usize,
}

/// Counts a prompt. One that does not fit is refused with both counts.
pub(super) async fn prepare(
    caller: &Principal,
    engine: &dyn Engine,
    request: GenerationRequest,
) -> Result<Fitted, ApiError> {
    let request = caps::bound_output(caller, request)?;
    let ready = engine.prepare(request).await?;
    caps::check_context(caller, ready.prompt_tokens())?;
    Ok(Fitted { ready, left_out: 0 })
}

/// As [`prepare`], but leaves out the oldest turns until it fits.
pub(super) async fn prepare_some(
    caller: &Principal,
    engine: &dyn Engine,
    request: GenerationRequest,
) -> Result<Fitted, ApiError> {
    let mut request = caps::bound_output(caller, request)?;
    let mut turns = match &mut request.prompt {
        Prompt::Chat(chat) => Window::of(std::mem::take(&mut chat.messages)),
        Prompt::Text(_) | Prompt::Tokens(_) => return prepare(caller, engine, request).await,
    };
    let cap = caller.policy.context_cap.unwrap_or(u32::MAX);
    loop {
        if let Prompt::Chat(chat) = &mut request.prompt {
            chat.messages = turns.messages();
        }
        let size = engine.card().context_window;
        let room = request.max_tokens.unwrap_or(ROOM.min(size / 4));
        let (prompt, most) = match engine.prepare(request.clone()).await {
            Ok(ready) => {
                let (TokenCount::Exact(prompt) | TokenCount::Estimate(prompt)) = ready.prompt_tokens();
                let most = cap.min(size.saturating_sub(room));
                if prompt <= most {
                    return Ok(Fitted { ready, left_out: turns.left_out() });
                }
                (prompt, most)
            }
            Err(EngineError::ContextLength { prompt, output, window }) => {
                (prompt, cap.min(window.saturating_sub(output.unwrap_or(room))))
            }
            Err(error) => return Err(error.into()),
        };
        let excess = f64::from(prompt.saturating_sub(most)) / f64::from(prompt.max(1));
        if !turns.drop_share(excess) {
            // Only the question is left: it fits as it is, or is refused with both counts.
            let fitted = prepare(caller, engine, request).await?;
            return Ok(Fitted { left_out: turns.left_out(), ..fitted });
        }
    }
}
