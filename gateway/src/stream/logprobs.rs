//! Log-probabilities as the two APIs write them.

use std::fmt::Write as _;

use openapi::chat::{ChatLogprobs, LogprobToken, TokenLogprobs};
use openapi::completions::CompletionLogprobs;

use crate::engine::{Candidate, TokenLogprob};

/// OpenAI's word for "as good as impossible"; JSON has no infinity.
const LEAST: f32 = -9999.0;

/// The chat API's list of tokens; `None` where there is none to tell of.
pub(super) fn chat(tokens: Vec<TokenLogprob>) -> Option<ChatLogprobs> {
    if tokens.is_empty() {
        return None;
    }
    let content = tokens.into_iter().map(chat_token).collect();
    Some(ChatLogprobs { content: Some(content), refusal: None })
}

pub(super) fn chat_token(token: TokenLogprob) -> TokenLogprobs {
    let LogprobToken { token: text, logprob, bytes } = chat_candidate(token.token);
    TokenLogprobs {
        token: text,
        logprob,
        bytes,
        top_logprobs: token.top.into_iter().map(chat_candidate).collect(),
    }
}

fn chat_candidate(candidate: Candidate) -> LogprobToken {
    LogprobToken {
        token: text_of(&candidate.bytes, ""),
        logprob: finite(candidate.logprob),
        bytes: Some(candidate.bytes),
    }
}

/// Where in the text the next token begins: characters begun so far.
#[derive(Debug, Default)]
pub(super) struct Offset(u32);

impl Offset {
    /// The place of a token, which is then counted. A token that starts within a character begins where that does.
    fn take(&mut self, bytes: &[u8]) -> u32 {
        let continues = bytes.first().is_some_and(|&byte| is_continuation(byte));
        let start = if continues { self.0.saturating_sub(1) } else { self.0 };
        let begun = bytes.iter().filter(|&&byte| !is_continuation(byte)).count();
        self.0 = self.0.saturating_add(u32::try_from(begun).unwrap_or(u32::MAX));
        start
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

/// The text API's parallel lists, with one more token.
pub(super) fn push_legacy(lists: &mut CompletionLogprobs, token: TokenLogprob, offset: &mut Offset) {
    const MARK: &str = "bytes:";
    lists.text_offset.push(offset.take(&token.token.bytes));
    lists.tokens.push(text_of(&token.token.bytes, MARK));
    lists.token_logprobs.push(finite(token.token.logprob));
    let top = token.top.into_iter().map(|other| (text_of(&other.bytes, MARK), finite(other.logprob)));
    lists.top_logprobs.push(top.collect());
}

fn finite(logprob: f32) -> f32 {
    if logprob.is_finite() { logprob.max(LEAST) } else { LEAST }
}

/// A token's text, or its bytes as `\x..` behind a mark where they are none.
fn text_of(bytes: &[u8], mark: &str) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let mut escaped = mark.to_owned();
    for byte in bytes {
        // Writing to a string cannot fail.
        let _written = write!(escaped, "\\x{byte:02x}");
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(bytes: &[u8], logprob: f32) -> TokenLogprob {
        TokenLogprob { token: Candidate { id: 0, bytes: bytes.to_vec(), logprob }, top: Vec::new() }
    }

    #[test]
    fn a_part_of_a_character_is_written_as_bytes_and_an_impossible_token_as_minus_9999() {
        let half = chat_token(token(&[0xf0, 0x9f], f32::NEG_INFINITY));
        assert_eq!(half.token, "\\xf0\\x9f");
        assert_eq!(half.bytes, Some(vec![0xf0, 0x9f]));
        assert!((half.logprob - LEAST).abs() < f32::EPSILON);
    }

    #[test]
    fn offsets_count_characters_and_a_split_character_begins_once() {
        let mut lists = CompletionLogprobs::default();
        let mut offset = Offset::default();
        for bytes in [&b"a"[..], "ü".as_bytes(), &[0xf0, 0x9f], &[0x98, 0x80], b"b"] {
            push_legacy(&mut lists, token(bytes, -1.0), &mut offset);
        }
        assert_eq!(lists.text_offset, [0, 1, 2, 2, 3]);
        assert_eq!(lists.tokens, ["a", "ü", "bytes:\\xf0\\x9f", "bytes:\\x98\\x80", "b"]);
    }
}
