//! Prompt text from a seed: the same on every machine, about one token a word, never the same text twice.

/// Common words; with a space before it each is one token in most vocabularies, so words count tokens well enough
/// to size a prompt. What a server counted stands in the results.
const WORDS: [&str; 96] = [
    "the", "water", "people", "house", "first", "light", "money", "story", "world", "small", "river",
    "green", "table", "music", "paper", "school", "stone", "garden", "winter", "summer", "market", "letter",
    "window", "father", "mother", "friend", "morning", "evening", "street", "village", "island", "forest",
    "animal", "machine", "engine", "number", "answer", "question", "reason", "moment", "history", "science",
    "nature", "system", "value", "power", "order", "field", "center", "north", "south", "white", "black",
    "blue", "large", "young", "early", "simple", "strong", "clear", "heavy", "quiet", "open", "deep", "long",
    "high", "old", "new", "good", "great", "place", "time", "year", "day", "hand", "head", "line", "side",
    "road", "door", "book", "page", "word", "name", "form", "part", "group", "plan", "work", "game", "team",
    "city", "state", "land", "food", "tree",
];

/// A small generator (splitmix64): its values are part of what a result means, so they must not change with a
/// dependency's version.
#[derive(Debug, Clone)]
pub(crate) struct Words {
    state: u64,
}

impl Words {
    /// Prompts of one seed and purpose; other purposes of the same seed get other text.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        let mut words = Self { state: seed ^ purpose.rotate_left(32) };
        words.next();
        words
    }

    /// The next raw value.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Text of about this many tokens. Two texts part within their first words, so that no server can reuse
    /// much of one for another.
    pub(crate) fn text(&mut self, tokens: u32) -> String {
        let mut text = String::new();
        for position in 0..tokens {
            let pick = usize::try_from(self.next() % WORDS.len() as u64).unwrap_or_default();
            let word = WORDS.get(pick).copied().unwrap_or("word");
            if position > 0 {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_text() {
        assert_eq!(Words::new(1, 2).text(40), Words::new(1, 2).text(40));
        assert_eq!(Words::new(1, 2).text(4), "game land morning water");
    }

    #[test]
    fn another_seed_purpose_or_turn_gives_another_text() {
        let mut words = Words::new(1, 2);
        let first = words.text(40);
        assert_ne!(first, words.text(40));
        assert_ne!(first, Words::new(2, 2).text(40));
        assert_ne!(first, Words::new(1, 3).text(40));
    }

    #[test]
    fn a_text_has_as_many_words_as_tokens_asked_for() {
        assert_eq!(Words::new(1, 1).text(450).split(' ').count(), 450);
    }
}
