//! What rows cost, measured while serving: on a GPU a row more is next to nothing, on a small CPU a third of a token.
//!
//! A step is one or more passes over the weights. A pass of one row takes a time of its own (llama.cpp multiplies by a
//! vector then); longer ones take `pass + row × rows`, a line through the latest of them. What was assumed at first
//! stays in the line with a little weight, so it is all there is until something is seen, and comes back when drafts
//! have not paid for long: they are tried again one day.

use std::time::Duration;

use crate::engine::llama::compute::Slot;

/// `pass` and `row` before they are measured, in passes of one row: as of a small CPU, where a mistake costs most.
const ASSUMED: [f64; 2] = [1.1, 0.37];
/// Rows of the two passes that stand for what is assumed, and what each counts for beside one that was seen.
const ASSUMED_ROWS: [f64; 2] = [2.0, 16.0];
const ASSUMED_WEIGHT: f64 = 0.1;

/// How much of each new time of a pass of one row goes into their mean.
const SINGLE_WEIGHT: f64 = 0.125;
/// What is left of the line with each new point, and with each pass that shows nothing of it.
const LINE_KEPT: f64 = 1.0 - 1.0 / 64.0;
const UNSEEN_KEPT: f64 = 1.0 - 1.0 / 256.0;

/// A step counts as no slower than this many times what was expected.
const SLOWEST: f64 = 3.0;

/// Times of passes, in seconds.
#[derive(Debug, Clone, Default)]
pub struct StepCost {
    /// Of one row.
    single: Option<f64>,
    /// Of several.
    line: Line,
    #[cfg(test)]
    fixed: Option<[f64; 2]>,
}

/// Sums of a regression through `time = pass × passes + row × rows`.
#[derive(Debug, Clone, Default)]
struct Line {
    passes_passes: f64,
    passes_rows: f64,
    rows_rows: f64,
    passes_time: f64,
    rows_time: f64,
}

impl Line {
    fn fade(&mut self, kept: f64) {
        for sum in [
            &mut self.passes_passes,
            &mut self.passes_rows,
            &mut self.rows_rows,
            &mut self.passes_time,
            &mut self.rows_time,
        ] {
            *sum *= kept;
        }
    }

    fn add(&mut self, [passes, rows, time]: [f64; 3], weight: f64) {
        self.passes_passes += weight * passes * passes;
        self.passes_rows += weight * passes * rows;
        self.rows_rows += weight * rows * rows;
        self.passes_time += weight * passes * time;
        self.rows_time += weight * rows * time;
    }

    fn solve(&self) -> [f64; 2] {
        let determinant = self.passes_passes * self.rows_rows - self.passes_rows * self.passes_rows;
        let pass = (self.passes_time * self.rows_rows - self.rows_time * self.passes_rows) / determinant;
        let row = (self.passes_passes * self.rows_time - self.passes_rows * self.passes_time) / determinant;
        if pass < 0.0 {
            return [0.0, self.rows_time / self.rows_rows];
        }
        [pass, row]
    }
}

impl StepCost {
    /// Costs that nothing changes: a pass of one row takes 1.
    #[cfg(test)]
    pub(in crate::engine::llama) fn fixed(pass: f64, row: f64) -> Self {
        Self { single: Some(1.0), fixed: Some([pass, row]), ..Self::default() }
    }

    /// Learns the time of a step by the rows of its passes.
    pub fn observe(&mut self, passes: &[usize], time: Duration) {
        #[cfg(test)]
        if self.fixed.is_some() {
            return;
        }
        let singles = passes.iter().filter(|rows| **rows <= 1).count() as f64;
        let longer = passes.len() as f64 - singles;
        let rows = passes.iter().filter(|rows| **rows > 1).sum::<usize>() as f64;
        let mut time = time.as_secs_f64();
        // What is assumed is in passes of one row, so that the first step tells how long one is.
        let first = time / self.of(passes);
        self.single.get_or_insert(first);
        // A step in which the machine did something else says little of rows.
        time = time.min(SLOWEST * self.of(passes));
        if longer == 0.0 {
            let single = self.single();
            self.single = Some(single + SINGLE_WEIGHT * (time / singles - single));
            self.line.fade(UNSEEN_KEPT);
            return;
        }
        self.line.fade(LINE_KEPT);
        self.line.add([longer, rows, (time - singles * self.single()).max(0.0)], 1.0);
    }

    /// The time that passes of so many rows will take.
    pub fn of(&self, passes: &[usize]) -> f64 {
        let [pass, row] = self.pass_and_row();
        let single = self.single();
        passes.iter().map(|rows| if *rows <= 1 { single } else { pass + row * *rows as f64 }).sum()
    }

    /// The time of a row more.
    pub fn row(&self) -> f64 {
        self.pass_and_row()[1]
    }

    /// Before anything was measured, times are in passes of one row.
    fn single(&self) -> f64 {
        self.single.unwrap_or(1.0)
    }

    fn pass_and_row(&self) -> [f64; 2] {
        #[cfg(test)]
        if let Some(fixed) = self.fixed {
            return fixed;
        }
        let mut line = self.line.clone();
        for rows in ASSUMED_ROWS {
            let time = (ASSUMED[0] + ASSUMED[1] * rows) * self.single();
            line.add([1.0, rows, time], ASSUMED_WEIGHT);
        }
        line.solve()
    }
}

/// The passes over the weights that llama.cpp makes for sequences of a split cache, given in the order of their slots:
/// it takes neighbours together as far as they have equally many rows, and goes on with what is left. Adds the rows of
/// each to `passes`.
pub fn split_passes(sequences: &mut [(Slot, usize)], passes: &mut Vec<usize>) {
    loop {
        let mut together = 0;
        let mut rows = usize::MAX;
        let mut last: Option<u16> = None;
        for (slot, left) in sequences.iter().filter(|(_, left)| *left > 0) {
            if last.is_some_and(|last| last + 1 != slot.0) {
                break;
            }
            last = Some(slot.0);
            rows = rows.min(*left);
            together += 1;
        }
        if together == 0 {
            return;
        }
        for (_, left) in sequences.iter_mut().filter(|(_, left)| *left > 0).take(together) {
            *left -= rows;
        }
        passes.push(rows * together);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(rows: &[(u16, usize)]) -> Vec<usize> {
        let mut sequences: Vec<(Slot, usize)> =
            rows.iter().map(|(slot, rows)| (Slot(*slot), *rows)).collect();
        let mut passes = Vec::new();
        split_passes(&mut sequences, &mut passes);
        passes
    }

    #[test]
    fn neighbours_with_equally_many_rows_are_one_pass() {
        assert_eq!(passes(&[(0, 1), (1, 1), (2, 1)]), [3]);
        assert_eq!(passes(&[(0, 5), (1, 5)]), [10]);
        assert_eq!(passes(&[(3, 9)]), [9]);
        assert_eq!(passes(&[]), [0; 0]);
    }

    #[test]
    fn what_is_left_of_some_is_another_pass_and_a_hole_too() {
        assert_eq!(passes(&[(0, 5), (1, 1), (2, 1)]), [3, 4]);
        assert_eq!(passes(&[(0, 5), (1, 1), (2, 5)]), [3, 4, 4]);
        assert_eq!(passes(&[(0, 1), (2, 1)]), [1, 1]);
        assert_eq!(passes(&[(0, 2), (1, 3), (2, 3)]), [6, 2]);
    }

    /// Costs learnt from a machine that takes these times, in milliseconds.
    fn learnt(single: f64, pass: f64, row: f64) -> StepCost {
        let mut cost = StepCost::default();
        let time = |passes: &[usize]| {
            let of = |rows: &usize| if *rows == 1 { single } else { pass + row * *rows as f64 };
            Duration::from_secs_f64(passes.iter().map(of).sum::<f64>() / 1e3)
        };
        for round in 0..200 {
            for passes in [&[1][..], &[2 + round % 9], &[4, 1 + round % 9]] {
                cost.observe(passes, time(passes));
            }
        }
        cost
    }

    #[test]
    fn times_are_learnt_from_steps() {
        for (single, pass, row) in [(6.4, 7.2, 2.4), (5.0, 5.2, 0.05), (3.0, 0.2, 3.0)] {
            let cost = learnt(single, pass, row);
            for rows in [2, 6, 10] {
                let expected = (pass + row * rows as f64) / 1e3;
                let found = cost.of(&[rows]);
                assert!((found / expected - 1.0).abs() < 0.1, "{rows} rows: {found}, not {expected}");
            }
            assert!((cost.of(&[1, 1]) * 1e3 / (2.0 * single) - 1.0).abs() < 0.01);
        }
    }

    #[test]
    fn what_is_assumed_at_first_scales_with_the_machine() {
        let mut cost = StepCost::default();
        let assumed = cost.row();
        (0..100).for_each(|_| cost.observe(&[1], Duration::from_millis(10)));
        assert!((cost.row() / assumed - 0.01).abs() < 1e-4);
    }

    #[test]
    fn a_price_that_keeps_drafts_away_is_forgotten() {
        let mut cost = learnt(3.0, 0.2, 3.0);
        assert!(cost.row() > 0.9 * 3e-3);
        (0..10_000).for_each(|_| cost.observe(&[1], Duration::from_millis(3)));
        assert!(cost.row() < 0.5 * 3e-3);
    }
}
