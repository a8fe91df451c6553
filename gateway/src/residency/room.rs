//! Which models go to make room for another: the least recently used of those that nobody uses, and no more than
//! needed.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::loader::Footprint;

/// A model in memory, or on its way there or out.
#[derive(Debug, Clone)]
pub(super) struct Held<'a> {
    /// Its place in the table.
    pub(super) index: usize,
    /// Names of one group share weights.
    pub(super) group: &'a str,
    pub(super) footprint: Footprint,
    /// When it may go; none where it may not: it is pinned, or answers.
    pub(super) idle_since: Option<Instant>,
}

/// How there is room for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Room {
    /// Once these have gone, in this order; at once where there are none.
    After(Vec<usize>),
    /// Only once others end.
    Blocked,
    /// Never: it alone is more than the budget.
    Never,
}

/// Memory of all models together: what a group shares counts once.
pub(super) fn total<'a>(held: impl Iterator<Item = (&'a str, Footprint)>) -> u64 {
    let mut weights: BTreeMap<&str, u64> = BTreeMap::new();
    let mut own = 0_u64;
    for (group, footprint) in held {
        own = own.saturating_add(footprint.own);
        let shared = weights.entry(group).or_default();
        *shared = footprint.weights.max(*shared);
    }
    weights.values().fold(own, |sum, bytes| sum.saturating_add(*bytes))
}

/// Makes room for a model of `group` beside what is held; without a budget there always is.
pub(super) fn make(held: &[Held<'_>], group: &str, needed: Footprint, budget: Option<u64>) -> Room {
    let Some(budget) = budget else { return Room::After(Vec::new()) };
    if needed.total() > budget {
        return Room::Never;
    }
    let beside = |gone: &[usize]| {
        let stays = held.iter().filter(|model| !gone.contains(&model.index));
        let stays = stays.map(|model| (model.group, model.footprint));
        total(stays.chain(std::iter::once((group, needed))))
    };
    let mut idle: Vec<_> = held.iter().filter_map(|model| Some((model.idle_since?, model.index))).collect();
    idle.sort_unstable();
    let mut gone = Vec::new();
    for (_, index) in idle {
        if beside(&gone) <= budget {
            break;
        }
        gone.push(index);
    }
    if beside(&gone) > budget {
        return Room::Blocked;
    }
    // One that went for nothing, since its weights are shared with who stays or a later one alone is enough, stays.
    for index in gone.clone().into_iter().rev() {
        let without: Vec<_> = gone.iter().copied().filter(|other| *other != index).collect();
        if beside(&without) <= budget {
            gone = without;
        }
    }
    Room::After(gone)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const GROUPS: [&str; 3] = ["a", "b", "c"];

    /// Models as they may stand in a table: group, weights of the group, own bytes, idle seconds where idle.
    fn held(start: Instant) -> impl Strategy<Value = Vec<Held<'static>>> {
        let one = (0..3_usize, 0..100_u64, proptest::option::of(0..50_u64));
        proptest::collection::vec(one, 0..8).prop_map(move |models| {
            let model = |(index, (group, own, idle)): (usize, (usize, u64, Option<u64>))| Held {
                index,
                group: GROUPS[group],
                footprint: Footprint { weights: 40 * (group as u64 + 1), own },
                idle_since: idle.map(|seconds| start + Duration::from_secs(seconds)),
            };
            models.into_iter().enumerate().map(model).collect()
        })
    }

    proptest! {
        #[test]
        fn those_who_go_are_idle_are_enough_and_none_goes_for_nothing(
            held in held(Instant::now()), own in 0..100_u64, budget in 1..600_u64
        ) {
            let needed = Footprint { weights: 40, own };
            let after = |gone: &[usize]| {
                let stays = held.iter().filter(|model| !gone.contains(&model.index));
                total(stays.map(|model| (model.group, model.footprint)).chain([("a", needed)]))
            };
            let idle: Vec<_> = held.iter().filter(|model| model.idle_since.is_some()).collect();
            let all: Vec<_> = idle.iter().map(|model| model.index).collect();
            match make(&held, "a", needed, Some(budget)) {
                Room::After(gone) => {
                    prop_assert!(gone.iter().all(|index| all.contains(index)), "one that is used went");
                    prop_assert!(after(&gone) <= budget, "the budget is passed");
                    let spared = |index: &usize| {
                        let fewer: Vec<_> = gone.iter().copied().filter(|other| other != index).collect();
                        after(&fewer) <= budget
                    };
                    prop_assert!(!gone.iter().any(spared), "one went for nothing");
                }
                Room::Blocked => prop_assert!(after(&all) > budget, "there was room"),
                Room::Never => prop_assert!(needed.total() > budget),
            }
        }
    }

    #[test]
    fn the_longest_unused_goes_first_and_shared_weights_count_once() {
        let start = Instant::now();
        let model = |index, group, own, idle: u64| Held {
            index,
            group,
            footprint: Footprint { weights: 100, own },
            idle_since: (idle > 0).then(|| start + Duration::from_secs(idle)),
        };
        let held = [model(0, "a", 10, 2), model(1, "b", 10, 1), model(2, "c", 10, 0)];
        let needed = Footprint { weights: 100, own: 10 };
        assert_eq!(make(&held, "d", needed, Some(330)), Room::After(vec![1]));
        assert_eq!(make(&held, "d", needed, Some(220)), Room::After(vec![1, 0]));
        assert_eq!(make(&held, "d", needed, Some(219)), Room::Blocked);
        assert_eq!(make(&held, "d", needed, Some(109)), Room::Never);
        assert_eq!(make(&held, "a", needed, Some(340)), Room::After(vec![]));
        assert_eq!(make(&held, "d", needed, None), Room::After(vec![]));
    }
}
