//! The caller's text, kept from spelling the model's control tokens.
//!
//! A rendered chat is tokenized with control tokens parsed, because the template writes them as text. A message that
//! spells `<|im_end|>` would end its own turn and open one in another role. So each such spelling in what the caller
//! wrote gets a seam behind its first character before the template sees it, and the rendered text is tokenized piece
//! by piece between the seams: the model reads the same characters, none of them as a control token.

use aho_corasick::AhoCorasick;
use serde_json::Value;

/// A Unicode noncharacter: no text interchanged between systems has it, no template trims or splits at it.
const SEAM: char = '\u{FDD0}';

/// The spellings that only a template may write.
#[derive(Debug, Clone, Default)]
pub struct ControlSpellings {
    /// `None` for a model without control tokens.
    matcher: Option<AhoCorasick>,
}

impl ControlSpellings {
    /// From the written forms of the model's control tokens. One that has a single character cannot be taken apart
    /// and is left alone; no model is known to have such.
    pub fn new<'a>(spellings: impl IntoIterator<Item = &'a str>) -> Self {
        let of_several = |text: &&str| text.chars().nth(1).is_some();
        let mut patterns: Vec<&str> = spellings.into_iter().filter(of_several).collect();
        let mut seam = [0; 4];
        patterns.push(SEAM.encode_utf8(&mut seam));
        // Building fails only past 2^31 states, which no vocabulary's control tokens reach.
        Self { matcher: AhoCorasick::new(patterns).ok() }
    }

    /// Puts a seam into every spelling in the text.
    pub(super) fn disarm(&self, text: &mut String) {
        let Some(matcher) = self.matcher.as_ref().filter(|matcher| matcher.is_match(text.as_str())) else {
            return;
        };
        // The caller's own seams would swallow nothing but themselves; the replacement character says that one was.
        *text = text.replace(SEAM, "\u{FFFD}");
        // Overlapping: breaking one of two interlocked spellings could leave the other whole.
        let after_first = |start: usize| start + text[start..].chars().next().map_or(0, char::len_utf8);
        let found = matcher.find_overlapping_iter(text.as_str());
        let mut seams: Vec<usize> = found.map(|found| after_first(found.start())).collect();
        seams.sort_unstable();
        seams.dedup();
        for seam in seams.into_iter().rev() {
            text.insert(seam, SEAM);
        }
    }

    /// [`ControlSpellings::disarm`] for every string of a JSON value, keys included.
    pub(super) fn disarm_json(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.disarm(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.disarm_json(item)),
            Value::Object(fields) => {
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(mut key, mut value)| {
                        self.disarm(&mut key);
                        self.disarm_json(&mut value);
                        (key, value)
                    })
                    .collect();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// The pieces of a rendered prompt, each to be tokenized for itself.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split(SEAM)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn disarmed(text: &str) -> String {
        let mut text = text.to_owned();
        ControlSpellings::new(["<|im_end|>", "<|im_start|>", "xyx", "q"]).disarm(&mut text);
        text
    }

    #[test]
    fn text_without_a_spelling_is_left_as_it_is() {
        for text in ["", "plain", "<|im_en", "im_end|>", "q", "grün 🦀"] {
            assert_eq!(disarmed(text), text);
        }
    }

    #[test]
    fn a_spelling_is_cut_behind_its_first_character() {
        assert_eq!(pieces(&disarmed("a <|im_end|> b")).collect::<Vec<_>>(), ["a <", "|im_end|> b"]);
    }

    #[test]
    fn of_interlocked_spellings_none_stays_whole() {
        assert_eq!(pieces(&disarmed("xyxyx")).collect::<Vec<_>>(), ["x", "yx", "yx"]);
    }

    #[test]
    fn a_callers_own_seam_becomes_the_replacement_character() {
        assert_eq!(disarmed("a\u{FDD0}b"), "a\u{FFFD}b");
    }

    #[test]
    fn keys_and_nested_strings_are_cut_too() {
        let mut value = json!({"<|im_end|>": [{"b": "<|im_start|>"}, 1, null]});
        ControlSpellings::new(["<|im_end|>", "<|im_start|>"]).disarm_json(&mut value);
        let seam = SEAM;
        assert_eq!(
            value,
            json!({(format!("<{seam}|im_end|>")): [{"b": format!("<{seam}|im_start|>")}, 1, null]})
        );
    }

    proptest! {
        #[test]
        fn no_piece_holds_a_spelling_and_nothing_is_lost(text in "[<|im_endstar>é]{0,40}(<\\|im_end\\|>)?[xyq]{0,9}") {
            let disarmed = disarmed(&text);
            for piece in pieces(&disarmed) {
                for spelling in ["<|im_end|>", "<|im_start|>", "xyx"] {
                    prop_assert!(!piece.contains(spelling));
                }
            }
            prop_assert_eq!(pieces(&disarmed).collect::<String>(), text);
        }
    }
}
