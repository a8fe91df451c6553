//! Stop strings: they end the answer wherever token borders fall, and no part of one is ever shown.

use super::automaton::{Automaton, Place};

/// Looks for the stop strings of one answer.
#[derive(Debug, Clone)]
pub struct StopMatcher {
    strings: Automaton,
    place: Place,
    /// The tail of the text that may yet become a stop string.
    held: String,
    /// The string that came.
    found: Option<String>,
}

impl StopMatcher {
    /// A matcher for any number of strings; empty ones are ignored.
    pub fn new(stop: &[String]) -> Self {
        Self { strings: Automaton::new(stop), place: Place::default(), held: String::new(), found: None }
    }

    /// Appends the text that can be no part of a stop string, and says whether one came. The first to be complete
    /// ends the answer; of several that end together it is the longest. What follows it is discarded.
    pub fn push(&mut self, text: &str, released: &mut String) -> bool {
        if self.strings.is_empty() {
            released.push_str(text);
            return false;
        }
        let before = self.held.len();
        self.held.push_str(text);
        for (byte, end) in text.bytes().zip(before + 1..) {
            self.place = self.strings.step(self.place, byte);
            if let Some(length) = self.strings.matched(self.place) {
                released.push_str(self.held.get(..end - length).unwrap_or_default());
                self.found = self.held.get(end - length..end).map(str::to_owned);
                self.held.clear();
                self.place = Place::default();
                return true;
            }
        }
        // A stop string begins with a whole character, so the border is one as well.
        let border = self.held.len() - self.strings.depth(self.place);
        released.push_str(self.held.get(..border).unwrap_or_default());
        self.held.drain(..border);
        false
    }

    /// The string that came, if one did.
    pub fn found(&self) -> Option<&str> {
        self.found.as_deref()
    }

    /// Ends the text: what was held was no stop string after all.
    pub fn finish(&mut self, released: &mut String) {
        released.push_str(&self.held);
        self.held.clear();
        self.place = Place::default();
    }
}
