//! The scheduler over a cache that spills to disk: the answers stay those of each prompt alone.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Bench, SPLIT, UNIFIED, alone};
use crate::engine::llama::compute::Limits;
use crate::engine::llama::gauges::SpillCounts;
use crate::engine::llama::kv::KvCache;
use crate::engine::llama::kv::spill::{Identity, Spill, SpillSettings};
use crate::engine::llama::simulated::Simulated;

/// Host memory for hardly one sequence.
const HOST: usize = 40 * 4;

fn bench(limits: Limits, folder: &Path, counts: &Arc<SpillCounts>) -> Bench {
    let settings = SpillSettings {
        identity: Identity([3; 32]),
        folder: folder.to_owned(),
        limit: 1 << 20,
        after: Duration::from_millis(1),
        window: limits.window,
    };
    let spill = Spill::open(settings, Arc::clone(counts)).expect("the folder opens");
    Bench::of(KvCache::new(Simulated::new(limits), HOST).with_spill(Some(spill)))
}

/// Runs until all is done, at the pace of the loop.
fn run(bench: &mut Bench) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !bench.scheduler.is_idle() {
        assert!(Instant::now() < deadline, "the scheduler does not come to an end");
        bench.step();
        if let Some(poll) = bench.scheduler.poll() {
            std::thread::sleep(poll);
        }
    }
}

/// What shutdown does.
fn end(mut bench: Bench) {
    bench.scheduler.kv.spill_rest(Instant::now() + Duration::from_secs(10));
}

fn prompt(number: u32) -> Vec<u32> {
    super::prompt(number, 30)
}

#[test]
fn a_prompt_of_before_the_restart_is_read_while_others_go_on() {
    for limits in [SPLIT, UNIFIED] {
        let folder = tempfile::tempdir().unwrap();
        let counts = Arc::default();
        let mut first = bench(limits, folder.path(), &counts);
        let mut client = first.submit("a", &prompt(1), 4, 1);
        run(&mut first);
        assert_eq!(client.answers(), [alone(&prompt(1), 4, limits.window)]);
        end(first);
        let mut second = bench(limits, folder.path(), &counts);
        let mut other = second.submit("b", &prompt(2), 10, 1);
        second.step();
        let mut client = second.submit("a", &prompt(1), 4, 1);
        run(&mut second);
        assert_eq!(client.answers(), [alone(&prompt(1), 4, limits.window)]);
        assert_eq!(other.answers(), [alone(&prompt(2), 10, limits.window)]);
        assert_eq!(counts.sequences_restored(), 1);
        let computed = prompt(2).len() + 1 + 14;
        assert!(second.computed_rows() <= computed, "the prompt is not computed: {}", second.computed_rows());
    }
}

#[test]
fn another_tenants_prompt_is_computed_again() {
    let folder = tempfile::tempdir().unwrap();
    let counts = Arc::default();
    let mut first = bench(SPLIT, folder.path(), &counts);
    let _client = first.submit("a", &prompt(1), 4, 1);
    run(&mut first);
    end(first);
    let mut second = bench(SPLIT, folder.path(), &counts);
    let mut client = second.submit("b", &prompt(1), 4, 1);
    run(&mut second);
    assert_eq!(client.answers(), [alone(&prompt(1), 4, SPLIT.window)]);
    assert!(second.computed_rows() >= prompt(1).len());
    assert_eq!(counts.sequences_restored(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_answer_is_what_the_model_says_alone(
        rounds in prop::collection::vec(
            prop::collection::vec((0_u32..5, 0_usize..2, 20_usize..30, 1_u32..6), 1..8),
            1..5,
        ),
        unified in any::<bool>(),
        restarts in any::<bool>(),
    ) {
        let limits = if unified { UNIFIED } else { SPLIT };
        let folder = tempfile::tempdir().unwrap();
        let counts = Arc::default();
        let mut bench_now = bench(limits, folder.path(), &counts);
        for round in rounds {
            let mut clients = Vec::new();
            for (number, tenant, length, tokens) in round {
                let prompt = prompt(number)[..length].to_vec();
                let client = bench_now.submit(["a", "b"][tenant], &prompt, tokens, 1);
                clients.push((client, prompt, tokens));
                bench_now.step();
            }
            run(&mut bench_now);
            for (client, prompt, tokens) in &mut clients {
                prop_assert_eq!(client.answers(), [alone(prompt, *tokens, limits.window)]);
            }
            if restarts {
                end(bench_now);
                bench_now = bench(limits, folder.path(), &counts);
            }
        }
    }
}
