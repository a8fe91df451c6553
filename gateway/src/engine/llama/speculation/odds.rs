//! How likely a guess is right, by how many tokens before it were the same: learnt from each token drawn, whether or
//! not it was computed as a draft.

/// Shortest matches of the classes; the last class has no upper end.
const FROM: [usize; 6] = [2, 3, 4, 6, 9, 17];

/// What is assumed before anything is seen, and how many guesses that counts for: ordinary text seldom goes on as it
/// did after two or three equal tokens, a copy of nine goes on being one.
const ASSUMED: [f32; 6] = [0.15, 0.3, 0.5, 0.7, 0.85, 0.92];
const ASSUMED_WEIGHT: f32 = 4.0;

/// From so many guesses on the older half of them counts less.
const MEMORY: f32 = 64.0;

/// Right guesses and all guesses of each class, of one sequence.
#[derive(Debug, Clone)]
pub(super) struct Odds {
    classes: [Tally; 6],
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    right: f32,
    all: f32,
}

impl Default for Odds {
    fn default() -> Self {
        let assumed = |share: f32| Tally { right: share * ASSUMED_WEIGHT, all: ASSUMED_WEIGHT };
        Self { classes: ASSUMED.map(assumed) }
    }
}

impl Odds {
    /// The chance that the token after a match of `length` is guessed right.
    pub(super) fn of(&self, length: usize) -> f32 {
        self.classes.get(class(length)).map_or(0.0, |tally| tally.right / tally.all)
    }

    /// Learns what became of a guess after a match of `length`.
    pub(super) fn learn(&mut self, length: usize, right: bool) {
        let Some(tally) = self.classes.get_mut(class(length)) else { return };
        tally.right += f32::from(u8::from(right));
        tally.all += 1.0;
        if tally.all >= MEMORY {
            tally.right /= 2.0;
            tally.all /= 2.0;
        }
    }
}

fn class(length: usize) -> usize {
    FROM.iter().rposition(|from| length >= *from).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_matches_are_trusted_more() {
        let odds = Odds::default();
        assert!(odds.of(2) < odds.of(3) && odds.of(3) < odds.of(5) && odds.of(5) < odds.of(40));
    }

    #[test]
    fn what_comes_true_is_trusted_and_what_changes_is_learnt_anew() {
        let mut odds = Odds::default();
        (0..200).for_each(|_| odds.learn(3, true));
        assert!(odds.of(3) > 0.9);
        (0..200).for_each(|_| odds.learn(3, false));
        assert!(odds.of(3) < 0.1);
        assert!((odds.of(20) - Odds::default().of(20)).abs() < 1e-6, "each class for itself");
    }
}
