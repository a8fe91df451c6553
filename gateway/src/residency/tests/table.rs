//! The table, whatever happens to it in whatever order.

use std::sync::Arc;

use proptest::prelude::*;
use tokio::time::Instant;

use super::{SIZE, config};
use crate::config::{AdapterConfig, ModelConfig};
use crate::engine::Engine;
use crate::engine::scripted::{Script, ScriptedEngine};
use crate::residency::slot::{Slot, State};
use crate::residency::table::{Entry, Step, Table};
use crate::residency::{LoadFailure, Loaded, Spec};

/// What may happen to a table of four models, two of which share weights.
#[derive(Debug, Clone)]
enum Happening {
    Enter(usize),
    Leave(usize),
    Order(usize),
    Dismiss(usize, bool),
    Pin(usize, bool),
    LoadEnds(bool),
}

fn happening() -> impl Strategy<Value = Happening> {
    let index = 0..4_usize;
    prop_oneof![
        4 => index.clone().prop_map(Happening::Enter),
        4 => index.clone().prop_map(Happening::Leave),
        1 => index.clone().prop_map(Happening::Order),
        1 => (index.clone(), any::<bool>()).prop_map(|(index, drain)| Happening::Dismiss(index, drain)),
        1 => (index, any::<bool>()).prop_map(|(index, pinned)| Happening::Pin(index, pinned)),
        4 => any::<bool>().prop_map(Happening::LoadEnds),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_nobody_loses_the_model_it_uses_and_the_budget_is_kept(
        happenings in proptest::collection::vec(happening(), 1..60), budget in 110..400_u64
    ) {
        let mut table = Table::new(Some(budget));
        let adapter = AdapterConfig { name: "x".to_owned(), path: "x".into(), scale: 1.0 };
        let shared = ModelConfig { adapters: vec![adapter], ..config("a") };
        for spec in [shared, config("b"), config("c")].iter().flat_map(Spec::all) {
            table.add(Slot::new(spec, SIZE));
        }
        let now = Instant::now();
        let engine = || Arc::new(ScriptedEngine::new("m", Script::new())) as Arc<dyn Engine>;
        let mut used = [0_u32; 4];
        let mut loading = None;
        for happening in happenings {
            match happening {
                Happening::Enter(index) => {
                    if let Ok(Entry::Entered(_)) = table.enter(index, false, now) {
                        used[index] += 1;
                    }
                }
                Happening::Leave(index) if used[index] > 0 => {
                    used[index] -= 1;
                    table.leave(index, now, 0);
                }
                Happening::Leave(index) => table.stop_waiting(index),
                Happening::Order(index) => table.order(index).unwrap(),
                Happening::Dismiss(index, drain) => {
                    let goes = matches!(table.slot(index).unwrap().state, State::Draining(_));
                    let outcome = table.dismiss(index, drain, now);
                    prop_assert!(drain || goes || used[index] == 0 || outcome.is_err());
                }
                Happening::Pin(index, pinned) => table.slot_mut(index).unwrap().pinned = pinned,
                Happening::LoadEnds(well) => {
                    if let Some(index) = loading.take() {
                        let loaded = Loaded { engine: engine(), footprint: SIZE };
                        let outcome = if well { Ok(loaded) } else { Err(LoadFailure("x".to_owned())) };
                        table.loaded(index, outcome, now);
                    }
                }
            }
            loop {
                let pinned: Vec<_> = table.slots().iter().map(|slot| slot.pinned).collect();
                let sent = |slot: &Slot| matches!(slot.state, State::Draining(_));
                let draining: Vec<_> = table.slots().iter().map(sent).collect();
                match table.next(loading.is_some(), now) {
                    Step::Load(index, ..) => loading = Some(index),
                    Step::Unload(index, _) => {
                        prop_assert_eq!(used[index], 0, "one that is used went");
                        prop_assert!(!pinned[index] || draining[index], "a pinned one went by itself");
                        table.unloaded(index);
                    }
                    Step::Rest(_) => break,
                }
                prop_assert!(table.bytes() <= budget, "{} of {budget}", table.bytes());
            }
        }
    }
}
