//! Constrained decoding: which tokens may come next, so that the answer has the shape that was asked for.

mod grammar;
mod rule;
mod schema;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::{Matcher, ParserFactory};
use toktrie::{ApproximateTokEnv, InferenceCapabilities, SimpleVob, TokEnv, TokRxInfo, TokTrie};

use super::output::automaton::{Automaton, Place};
use super::vocabulary::Vocabulary;
use crate::engine::EngineError;
use grammar::Marks;
pub use rule::{Answer, CallRule, ConstraintRule, rule_for};

/// Compiling recurses with the schema; its own stack makes the depth that [`schema`] allows safe on any thread.
const COMPILE_STACK: usize = 32 * 1024 * 1024;

/// Why a constraint cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// The request asks for what cannot be enforced.
    #[error("{message}")]
    Refused {
        /// What, and what to do.
        message: String,
        /// The request's field.
        param: &'static str,
    },
    /// The matcher failed in mid-answer.
    #[error("the answer's shape could not be enforced: {0}")]
    Failed(String),
}

impl ConstraintError {
    fn refused(param: &'static str, message: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), param }
    }
}

impl From<ConstraintError> for EngineError {
    fn from(error: ConstraintError) -> Self {
        match error {
            ConstraintError::Refused { message, param } => Self::Invalid { message, param: Some(param) },
            failed @ ConstraintError::Failed(_) => Self::Failed(failed.to_string()),
        }
    }
}

/// Makes constraints for one vocabulary. Built once a model, shared by all requests.
pub struct ConstraintFactory {
    parsers: ParserFactory,
    marks: Marks,
    bytes: Arc<Vocabulary>,
}

impl std::fmt::Debug for ConstraintFactory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConstraintFactory").field("tokens", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl ConstraintFactory {
    /// Builds the trie of the vocabulary.
    pub fn new(vocabulary: &Vocabulary) -> Result<Self, ConstraintError> {
        let environment = token_environment(vocabulary)?;
        let slices = llguidance::earley::SlicedBiasComputer::general_slices();
        let mut parsers = ParserFactory::new(&environment, InferenceCapabilities::default(), &slices)
            .map_err(|error| failed(&error))?;
        parsers.quiet();
        *parsers.limits_mut() = limits();
        Ok(Self { parsers, marks: Marks::new(vocabulary), bytes: Arc::new(vocabulary.clone()) })
    }

    /// Compiles a rule; none where it demands nothing.
    pub fn compile(&self, rule: &ConstraintRule) -> Result<Option<Constraint>, ConstraintError> {
        let Some(text) = grammar::grammar(rule, &self.marks)? else { return Ok(None) };
        let param = if rule.calls.is_some() { "tools" } else { "response_format" };
        let compile = || {
            let parser = self.parsers.create_parser(TopLevelGrammar::from_lark(text));
            // Kept short: the library's texts can hold the whole grammar.
            let parser = parser.map_err(|error| short(&format!("{error:#}")))?;
            let mut matcher = Matcher::new(Ok(parser));
            // What the first mask shows to be too complex is refused now, and not in mid-stream.
            matcher.compute_mask().map_err(|error| short(&error.to_string()))?;
            Ok::<Matcher, String>(matcher)
        };
        let joined = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("constraint".to_owned()).stack_size(COMPILE_STACK);
            thread.spawn_scoped(scope, compile).map(std::thread::ScopedJoinHandle::join)
        });
        let matcher = match joined {
            Ok(Ok(Ok(matcher))) => matcher,
            Ok(Ok(Err(message))) => {
                let message = format!("the JSON schema cannot be enforced: {message}");
                return Err(ConstraintError::refused(param, message));
            }
            Ok(Err(_panic)) => {
                return Err(ConstraintError::refused(param, "the JSON schema cannot be enforced"));
            }
            Err(error) => return Err(ConstraintError::Failed(error.to_string())),
        };
        let trigger = rule.calls.as_ref().filter(|_| grammar::is_lazy(rule)).map(|calls| {
            let open = calls.format.open();
            Box::new(Trigger {
                token: self.marks.token(open),
                marks: Automaton::new([open]),
                place: Place::default(),
                fresh: matcher.clone(),
                vocabulary: Arc::clone(&self.bytes),
            })
        });
        Ok(Some(Constraint { matcher, trigger, mask: SimpleVob::new(), current: false }))
    }
}

/// Bounds on one request's work: compile about 20 ms, one mask about 10 ms at the very worst.
fn limits() -> ParserLimits {
    ParserLimits {
        initial_lexer_fuel: 1_000_000,
        step_lexer_fuel: 150_000,
        step_max_items: 50_000,
        max_lexer_states: 50_000,
        max_grammar_size: 200_000,
        precompute_large_lexemes: false,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

fn token_environment(vocabulary: &Vocabulary) -> Result<TokEnv, ConstraintError> {
    let first_end = vocabulary.eos().or_else(|| vocabulary.end_of_generation().first().copied());
    let Some(end) = first_end.filter(|&end| vocabulary.contains(end)) else {
        return Err(ConstraintError::Failed("the vocabulary has no token that ends a generation".to_owned()));
    };
    let tokens = u32::try_from(vocabulary.len()).unwrap_or(u32::MAX);
    let words: Vec<Vec<u8>> = (0..tokens).map(|id| word(vocabulary, id)).collect();
    let mut ends = vec![end];
    ends.extend(vocabulary.end_of_generation().iter().filter(|&&other| other != end));
    let trie = TokTrie::from(&TokRxInfo::new(tokens, end), &words).with_eos_tokens(&ends);
    Ok(Arc::new(ApproximateTokEnv::new(trie)))
}

/// A token for the trie, where the byte 0xFF, which no text has, marks special tokens.
fn word(vocabulary: &Vocabulary, id: u32) -> Vec<u8> {
    let bytes = vocabulary.bytes(id);
    let special = vocabulary.is_special(id) || vocabulary.is_end_of_generation(id);
    if special && !bytes.is_empty() {
        return [&[TokTrie::SPECIAL_TOKEN_MARKER], bytes].concat();
    }
    // The lone byte of a byte-fallback vocabulary must not be taken for the mark.
    if bytes.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER) { Vec::new() } else { bytes.to_vec() }
}

fn short(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.chars().take(300).collect()
}

/// Which tokens may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask<'a> {
    /// All: nothing has begun yet that has a shape.
    Free,
    /// Those whose bit is set: bit `i % 32` of word `i / 32` is token `i`.
    Allowed(&'a [u32]),
}

/// The constraint on one choice. A clone goes on from the same place.
#[derive(Clone)]
pub struct Constraint {
    matcher: Matcher,
    /// Where calls are optional: the matcher only runs from where one may begin.
    trigger: Option<Box<Trigger>>,
    mask: SimpleVob,
    /// Whether the mask is that of this place.
    current: bool,
}

#[derive(Clone)]
struct Trigger {
    token: Option<u32>,
    marks: Automaton,
    place: Place,
    fresh: Matcher,
    vocabulary: Arc<Vocabulary>,
}

impl std::fmt::Debug for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Constraint").field("complete", &self.is_complete()).finish_non_exhaustive()
    }
}

impl Constraint {
    /// The tokens that may come next; those that end the generation are among them exactly when the answer is whole.
    pub fn mask(&mut self) -> Result<Mask<'_>, ConstraintError> {
        if self.trigger.as_ref().is_some_and(|trigger| trigger.is_idle()) {
            return Ok(Mask::Free);
        }
        if !self.current {
            self.mask = self.matcher.compute_mask_or_eos().map_err(|error| failed(&error))?;
            self.current = true;
        }
        Ok(Mask::Allowed(self.mask.as_slice()))
    }

    /// Goes on by the token that was drawn.
    pub fn accept(&mut self, token: u32) -> Result<(), ConstraintError> {
        self.current = false;
        if let Some(trigger) = &mut self.trigger {
            let was_idle = trigger.is_idle();
            if trigger.push(token) {
                self.trigger = None;
            } else if trigger.is_idle() {
                if !was_idle {
                    self.matcher = trigger.fresh.clone();
                }
                return Ok(());
            }
        }
        if self.is_complete() {
            return Ok(());
        }
        self.matcher.consume_token(token).map_err(|error| failed(&error))
    }

    /// Whether only the end of the generation may follow.
    pub fn is_complete(&self) -> bool {
        self.matcher.is_stopped() && self.matcher.stop_reason().is_ok()
    }
}

impl Trigger {
    /// Whether no part of the mark was seen, so that any token may follow.
    fn is_idle(&self) -> bool {
        self.marks.depth(self.place) == 0
    }

    /// Reads a token; true once the mark is whole.
    fn push(&mut self, token: u32) -> bool {
        if self.token.is_some() {
            return self.token == Some(token);
        }
        for &byte in self.vocabulary.bytes(token) {
            self.place = self.marks.step(self.place, byte);
            if self.marks.matched(self.place).is_some() {
                return true;
            }
        }
        false
    }
}

fn failed(error: &impl std::fmt::Display) -> ConstraintError {
    ConstraintError::Failed(short(&error.to_string()))
}
