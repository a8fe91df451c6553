//! Drafts of what a sequence may say next, looked up in what was said before.
//!
//! Text that is copied, edited or put into another shape says again what the prompt said. The last tokens of a sequence
//! are looked up in its own prompt and answer; what followed them there is a draft. The scheduler computes it in the
//! same step as the last token, and the sampler draws token after token from the rows as it would have without, as long
//! as what it draws is what was drafted. A draft thus changes when tokens come, not which.
//!
//! A row more is not free, so a draft is only as long as its chance pays for (`cost`). The chance is known without
//! trying: every token that is drawn shows whether the guess for it was right (`odds`).

pub mod cost;
mod lookup;
mod odds;

use lookup::NgramTable;
use odds::Odds;

/// Longest match that is told apart from longer ones.
const LONGEST_MATCH: usize = 32;

/// Drafts of one sequence.
#[derive(Debug)]
pub struct Drafter {
    /// Made when the sequence first runs.
    tables: Option<[NgramTable; 2]>,
    /// Most tokens of the sequence.
    tokens: usize,
    odds: Odds,
    /// What the sequence goes on with, if it goes on as it did before.
    guess: Option<Guess>,
    /// How many of the tokens were looked at.
    seen: usize,
    draft: Vec<u32>,
}

/// A place in the sequence's own text.
#[derive(Debug, Clone, Copy)]
struct Guess {
    /// The index of the token that is expected next.
    next: usize,
    /// How many tokens before it are the same as the last ones, as far as that was looked at.
    length: usize,
}

impl Drafter {
    /// For a sequence of up to `tokens` tokens, with drafts of up to `most`.
    pub fn new(tokens: usize, most: usize) -> Self {
        Self {
            tables: None,
            tokens,
            odds: Odds::default(),
            guess: None,
            seen: 0,
            draft: Vec::with_capacity(most),
        }
    }

    /// The draft for this step.
    pub fn draft(&self) -> &[u32] {
        &self.draft
    }

    /// No draft for this step.
    pub fn clear(&mut self) {
        self.draft.clear();
    }

    /// Reads what was drawn since the last time, and drafts up to `most` tokens, each of them as likely as `least` at
    /// least. Returns how many of them are expected to be right.
    pub fn draw_up(&mut self, text: &[u32], most: usize, least: f32) -> f32 {
        self.draft.clear();
        self.read(text);
        let Some(guess) = self.guess else { return 0.0 };
        let (mut chance, mut expected) = (1.0, 0.0);
        for ahead in 0..most {
            chance *= self.odds.of(guess.length + ahead);
            if chance < least {
                break;
            }
            // Past its own end the text is expected to go on as it is drafted: a phrase said again and again.
            let index = guess.next + ahead;
            let token = text.get(index).or_else(|| self.draft.get(index - text.len()));
            let Some(token) = token.copied() else { break };
            self.draft.push(token);
            expected += chance;
        }
        expected
    }

    /// Takes note of new tokens: which guesses were right, and where to look next.
    fn read(&mut self, text: &[u32]) {
        let tokens = self.tokens;
        if self.tables.is_none() {
            // All there is now is what is looked up in; that a prompt repeats itself says nothing of the answer.
            let tables = self.tables.insert([3, 2].map(|n| NgramTable::new(n, tokens)));
            self.guess = look_up(tables, text);
            self.seen = text.len();
        }
        let Some(tables) = &mut self.tables else { return };
        for (index, token) in text.iter().enumerate().skip(self.seen) {
            if let Some(guess) = &mut self.guess {
                let right = text.get(guess.next) == Some(token);
                self.odds.learn(guess.length, right);
                guess.next += 1;
                guess.length = (guess.length + 1).min(LONGEST_MATCH);
                if right {
                    continue;
                }
            }
            self.guess = look_up(tables, text.get(..=index).unwrap_or_default());
        }
        self.seen = text.len();
    }
}

/// What followed the latest place where the last three tokens were said before, or else the last two.
fn look_up(tables: &mut [NgramTable; 2], text: &[u32]) -> Option<Guess> {
    for table in tables.iter_mut() {
        table.add(text, text.len().saturating_sub(1));
    }
    let next = tables.iter().find_map(|table| table.latest(text))?;
    let length = (0..next.min(LONGEST_MATCH))
        .take_while(|back| text.get(next - 1 - back) == text.get(text.len() - 1 - back))
        .count();
    Some(Guess { next, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drafted(drafter: &mut Drafter, text: &[u32], most: usize, least: f32) -> Vec<u32> {
        drafter.draw_up(text, most, least);
        drafter.draft().to_vec()
    }

    #[test]
    fn what_followed_the_same_tokens_is_drafted() {
        let mut drafter = Drafter::new(64, 8);
        assert_eq!(drafted(&mut drafter, &[1, 2, 3, 4, 5, 6, 7, 1, 2, 3], 3, 0.0), [4, 5, 6]);
    }

    #[test]
    fn the_latest_place_counts() {
        let mut drafter = Drafter::new(64, 8);
        assert_eq!(drafted(&mut drafter, &[1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3], 1, 0.0), [5]);
    }

    #[test]
    fn two_tokens_do_where_three_were_never_said() {
        let mut drafter = Drafter::new(64, 8);
        assert_eq!(drafted(&mut drafter, &[1, 2, 3, 4, 9, 2, 3], 2, 0.0), [4, 9]);
    }

    #[test]
    fn a_phrase_said_again_and_again_is_drafted_past_its_end() {
        let mut drafter = Drafter::new(64, 8);
        assert_eq!(drafted(&mut drafter, &[7, 8, 7, 8, 7, 8], 6, 0.0), [7, 8, 7, 8, 7, 8]);
    }

    #[test]
    fn text_that_says_nothing_twice_has_no_draft() {
        let mut drafter = Drafter::new(64, 8);
        assert!(drafted(&mut drafter, &[1, 2, 3, 4, 5], 8, 0.0).is_empty());
    }

    #[test]
    fn a_draft_is_as_long_as_its_chance_pays_for() {
        let mut text: Vec<u32> = (0..40).collect();
        text.extend(0..20);
        let mut drafter = Drafter::new(128, 12);
        let dear = drafted(&mut drafter, &text, 12, 0.8);
        let cheap = drafted(&mut drafter, &text, 12, 0.4);
        assert!(!dear.is_empty() && dear.len() < cheap.len(), "{dear:?} {cheap:?}");
        assert_eq!(cheap, (20..20 + u32::try_from(cheap.len()).unwrap()).collect::<Vec<u32>>());
    }

    #[test]
    fn guesses_are_judged_without_being_tried() {
        // The same two tokens, each time followed by another.
        let mut text = Vec::new();
        let mut drafter = Drafter::new(4096, 8);
        for round in 0..100 {
            text.extend([1, 2, 3, 100 + round]);
            drafter.draw_up(&text, 0, 0.0);
        }
        text.extend([1, 2, 3]);
        assert!(drafted(&mut drafter, &text, 8, 0.3).is_empty(), "what never came true is not drafted");
    }

    #[test]
    fn drafting_allocates_nothing_after_the_first_time() {
        let text: Vec<u32> = (0..2000_u32).map(|index| index * index % 97).collect();
        let mut drafter = Drafter::new(text.len(), 12);
        drafter.draw_up(&text[..1000], 12, 0.0);
        let counted = allocation_counter::measure(|| {
            for length in 1001..text.len() {
                drafter.draw_up(&text[..length], 12, 0.0);
            }
        });
        assert_eq!(counted.count_total, 0);
    }
}
