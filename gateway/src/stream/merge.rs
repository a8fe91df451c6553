//! Several generations as one: the choices numbered on, the usage summed. A text completion of several prompts is this.

use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};

use crate::engine::{EngineError, Event, Generation, Usage};

/// Joins the generations of several prompts, each of `choices` choices, in the prompts' order.
pub fn merge(generations: Vec<Generation>, choices: u32) -> Generation {
    let mut generations = generations;
    if generations.len() == 1
        && let Some(only) = generations.pop()
    {
        return only;
    }
    let target = targets(&generations);
    let mut waiting = generations.len();
    let mut total = Usage::default();
    let numbered = generations.into_iter().zip(0_u32..).map(|(generation, position)| {
        let first = position.saturating_mul(choices);
        generation.events.map(move |event| event.map(|event| shift(event, first)))
    });
    let events = stream::select_all(numbered).filter_map(move |event| {
        std::future::ready(match event {
            Ok(Event::Done(usage)) => {
                waiting -= 1;
                total = add(total, usage);
                (waiting == 0).then_some(Ok(Event::Done(total)))
            }
            other => Some(other),
        })
    });
    Generation { events: boxed(events), target }
}

/// Everybody who generates, each once.
fn targets(generations: &[Generation]) -> Option<Arc<str>> {
    let mut names: Vec<&str> = Vec::new();
    for name in generations.iter().filter_map(|generation| generation.target.as_deref()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    (!names.is_empty()).then(|| names.join(", ").into())
}

fn boxed(
    events: impl Stream<Item = Result<Event, EngineError>> + Send + 'static,
) -> std::pin::Pin<Box<dyn Stream<Item = Result<Event, EngineError>> + Send>> {
    Box::pin(events)
}

fn shift(event: Event, first: u32) -> Event {
    match event {
        Event::Delta(mut delta) => {
            delta.choice += first;
            Event::Delta(delta)
        }
        Event::Finished { choice, reason, stop } => Event::Finished { choice: choice + first, reason, stop },
        // One of many is nowhere asked to be passed on.
        other @ (Event::Wire(_) | Event::Done(_)) => other,
    }
}

fn add(total: Usage, one: Usage) -> Usage {
    Usage {
        prompt_tokens: total.prompt_tokens.saturating_add(one.prompt_tokens),
        cached_tokens: total.cached_tokens.saturating_add(one.cached_tokens),
        completion_tokens: total.completion_tokens.saturating_add(one.completion_tokens),
        reasoning_tokens: total.reasoning_tokens.saturating_add(one.reasoning_tokens),
        queued: total.queued.max(one.queued),
    }
}
