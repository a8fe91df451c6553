//! The scheduler against the simulated context: whatever the schedule, the answers are those of each prompt alone.

mod disk;
mod drafts;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tokio::sync::mpsc::{Receiver, channel};

use super::{Policy, Scheduler};
use crate::engine::llama::compute::Limits;
use crate::engine::llama::gauges::Gauges;
use crate::engine::llama::kv::KvCache;
use crate::engine::llama::sequence::{Job, Output};
use crate::engine::llama::simulated::{Law, Simulated, VOCABULARY, next_token};
use crate::engine::llama::vocabulary::{TokenEntry, Vocabulary};
use crate::engine::{EngineError, FinishReason, Sampling};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::model::Model;

const SPLIT: Limits = Limits { slots: 4, window: 64, batch: 20, cells: 256, unified: false };
const UNIFIED: Limits = Limits { slots: 4, window: 64, batch: 20, cells: 80, unified: true };

struct Bench {
    scheduler: Scheduler<Simulated>,
    gauges: Arc<Gauges>,
}

struct Client {
    outputs: Receiver<Output>,
    stopped: Arc<[AtomicBool]>,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        Self::of(KvCache::new(Simulated::new(limits), 4 * 4096))
    }

    fn of(kv: KvCache<Simulated>) -> Self {
        let vocabulary =
            (0..VOCABULARY).map(|id| TokenEntry { end_of_generation: id == 0, ..TokenEntry::default() });
        let vocabulary = Arc::new(Vocabulary::new(vocabulary, None, None));
        let gauges = Arc::new(Gauges::new(64, unseen()));
        gauges.set_ready(true);
        let policy = Policy { prefill_chunk: 8, slow_reader: Duration::from_secs(30), queue: 64, draft: 0 };
        Self { scheduler: Scheduler::new(kv, policy, vocabulary, Arc::clone(&gauges)), gauges }
    }

    fn submit(&mut self, tenant: &str, prompt: &[u32], max_tokens: u32, choices: u32) -> Client {
        self.submit_to(tenant, prompt, (max_tokens, choices), 256)
    }

    fn submit_to(
        &mut self,
        tenant: &str,
        prompt: &[u32],
        (max_tokens, choices): (u32, u32),
        room: usize,
    ) -> Client {
        let (sender, outputs) = channel(room);
        let stopped: Arc<[AtomicBool]> = (0..choices).map(|_| AtomicBool::new(false)).collect();
        self.gauges.enter_queue(choices).expect("the queue has room");
        let job = Job {
            tenant: Arc::from(tenant),
            salt: Arc::from(tenant),
            priority: 0,
            prompt: Arc::from(prompt),
            sampling: Arc::new(Sampling { temperature: 0.0, ..Sampling::default() }),
            seed: 1,
            max_tokens,
            logprobs: None,
            constraint: None,
            outputs: sender,
            stopped: Arc::clone(&stopped),
        };
        self.scheduler.enqueue(&Arc::new(job));
        Client { outputs, stopped }
    }

    fn step(&mut self) {
        self.scheduler.step(Instant::now());
    }

    fn run(&mut self) {
        for _ in 0..10_000 {
            if self.scheduler.is_idle() {
                return;
            }
            self.step();
        }
        panic!("the scheduler does not come to an end");
    }

    /// Prompt tokens computed, all steps together.
    fn computed_rows(&self) -> usize {
        self.scheduler.kv_for_tests().steps.iter().map(Vec::len).sum()
    }
}

impl Client {
    /// The tokens and the end of one answer.
    fn answers(&mut self) -> Vec<(Vec<u32>, Option<FinishReason>)> {
        let mut answers = vec![(Vec::new(), None); self.stopped.len()];
        while let Ok(output) = self.outputs.try_recv() {
            match output {
                Output::Token { choice, token, .. } => answers[choice as usize].0.push(token),
                Output::Finished { choice, reason } => answers[choice as usize].1 = Some(reason),
                Output::Started { .. } => {}
                Output::Failed(error) => panic!("failed: {error}"),
            }
        }
        answers
    }
}

/// What the model says after a prompt when it is alone.
fn alone(prompt: &[u32], max_tokens: u32, window: u32) -> (Vec<u32>, Option<FinishReason>) {
    alone_by(next_token, prompt, max_tokens, window)
}

fn alone_by(law: Law, prompt: &[u32], max_tokens: u32, window: u32) -> (Vec<u32>, Option<FinishReason>) {
    let mut tokens = prompt.to_vec();
    loop {
        let next = law(&tokens);
        let generated = &tokens[prompt.len()..];
        if next == 0 {
            return (generated.to_vec(), Some(FinishReason::Stop));
        }
        tokens.push(next);
        if tokens.len() - prompt.len() >= max_tokens as usize || tokens.len() >= window as usize {
            return (tokens[prompt.len()..].to_vec(), Some(FinishReason::Length));
        }
    }
}

fn prompt(seed: u32, length: u32) -> Vec<u32> {
    (0..length).map(|i| 1 + (i * 7 + seed * 13 + i * i * seed) % 31).collect()
}

#[test]
fn an_answer_is_what_the_model_says_alone() {
    let mut bench = Bench::new(SPLIT);
    let prompt = prompt(1, 30);
    let mut client = bench.submit("a", &prompt, 20, 1);
    bench.run();
    assert_eq!(client.answers(), [alone(&prompt, 20, 64)]);
}

#[test]
fn a_shared_prefix_is_computed_once_however_many_wait_for_it() {
    let mut bench = Bench::new(SPLIT);
    let prefix = prompt(3, 40);
    let prompts: Vec<Vec<u32>> = (1..=4).map(|last| [prefix.as_slice(), &[last]].concat()).collect();
    let mut clients: Vec<Client> = prompts.iter().map(|prompt| bench.submit("a", prompt, 1, 1)).collect();
    bench.run();
    assert_eq!(bench.computed_rows(), 40 + 4);
    for (client, prompt) in clients.iter_mut().zip(&prompts) {
        assert_eq!(client.answers(), [alone(prompt, 1, 64)]);
    }
}

#[test]
fn another_tenants_prefix_is_computed_again() {
    let mut bench = Bench::new(SPLIT);
    let prompt = prompt(3, 40);
    for tenant in ["a", "b"] {
        let _client = bench.submit(tenant, &prompt, 1, 1);
        bench.run();
    }
    assert_eq!(bench.computed_rows(), 80);
}

#[test]
fn the_answers_of_one_request_share_the_prompt() {
    let mut bench = Bench::new(SPLIT);
    let prompt = prompt(5, 40);
    let mut client = bench.submit("a", &prompt, 5, 4);
    bench.run();
    let expected = alone(&prompt, 5, 64);
    assert_eq!(client.answers(), vec![expected.clone(); 4]);
    // Each further answer computes the prompt's last token, whose logits it begins with, and its own tokens; the
    // last of these only where the model has the last word.
    let own = expected.0.len() - usize::from(expected.1 == Some(FinishReason::Length));
    assert_eq!(bench.computed_rows(), 40 + 3 + 4 * own);
}

#[test]
fn a_request_whose_client_left_is_dropped_before_the_next_decode() {
    let mut bench = Bench::new(SPLIT);
    let client = bench.submit("a", &prompt(1, 40), 20, 1);
    bench.step();
    drop(client);
    let rows = bench.computed_rows();
    bench.step();
    assert_eq!(bench.computed_rows(), rows);
    assert!(bench.scheduler.is_idle());
    assert_eq!(bench.gauges.load().running, 0);
}

#[test]
fn a_request_cancelled_in_the_queue_frees_its_place() {
    let mut bench = Bench::new(SPLIT);
    let _running = bench.submit("a", &prompt(1, 10), 50, 4);
    bench.step();
    let queued = bench.submit("b", &prompt(2, 10), 5, 1);
    bench.step();
    assert_eq!(bench.gauges.load().waiting, 1);
    drop(queued);
    bench.step();
    assert_eq!(bench.gauges.load().waiting, 0);
}

#[test]
fn a_request_counts_as_running_before_its_first_token() {
    let mut bench = Bench::new(SPLIT);
    let _client = bench.submit("a", &prompt(1, 5), 4, 1);
    bench.scheduler.admit(Instant::now());
    let load = bench.gauges.load();
    assert_eq!((load.running, load.waiting), (1, 0));
}

#[test]
fn an_answer_that_was_stopped_ends_and_its_siblings_go_on() {
    let mut bench = Bench::new(SPLIT);
    let prompt = prompt(5, 10);
    let mut client = bench.submit("a", &prompt, 20, 2);
    bench.step();
    client.stopped[0].store(true, Ordering::Relaxed);
    bench.run();
    let answers = client.answers();
    assert_eq!(answers[0].1, None);
    assert_eq!(answers[1], alone(&prompt, 20, 64));
}

#[test]
fn a_reader_without_room_is_left_out_and_the_others_go_on() {
    let mut bench = Bench::new(SPLIT);
    let (slow_prompt, quick_prompt) = (prompt(1, 10), prompt(2, 10));
    let mut slow = bench.submit_to("a", &slow_prompt, (40, 1), 4);
    let mut quick = bench.submit("b", &quick_prompt, 40, 1);
    for _ in 0..60 {
        bench.step();
    }
    assert_eq!(quick.answers(), [alone(&quick_prompt, 40, 64)]);
    let mut tokens = Vec::new();
    while !bench.scheduler.is_idle() {
        tokens.extend(slow.answers().remove(0).0);
        bench.step();
    }
    tokens.extend(slow.answers().remove(0).0);
    assert_eq!(tokens, alone(&slow_prompt, 40, 64).0);
}

#[test]
fn a_reader_without_room_for_too_long_is_cut() {
    let mut bench = Bench::new(SPLIT);
    let _slow = bench.submit_to("a", &prompt(1, 10), (40, 1), 4);
    for _ in 0..20 {
        bench.step();
    }
    assert_eq!(bench.gauges.load().running, 1);
    bench.scheduler.step(Instant::now() + Duration::from_secs(31));
    bench.step();
    assert_eq!(bench.gauges.load().running, 0);
}

#[test]
fn a_long_prompt_takes_no_more_than_its_chunk_of_a_step_in_which_others_decode() {
    let mut bench = Bench::new(SPLIT);
    let _decoding = bench.submit("a", &prompt(2, 4), 50, 1);
    bench.step();
    let _long = bench.submit("b", &prompt(9, 50), 1, 1);
    bench.step();
    let steps = &bench.scheduler.kv_for_tests().steps;
    assert_eq!(steps.last().map(Vec::len), Some(1 + 8));
}

#[test]
fn a_crowd_of_prompts_takes_a_chunk_for_each_stream_it_outnumbers() {
    let mut bench = Bench::new(SPLIT);
    let _decoding = bench.submit("a", &prompt(2, 4), 50, 1);
    bench.step();
    let _crowd = [bench.submit("b", &prompt(9, 50), 1, 1), bench.submit("c", &prompt(10, 50), 1, 1)];
    bench.step();
    let steps = &bench.scheduler.kv_for_tests().steps;
    assert_eq!(steps.last().map(Vec::len), Some(1 + 2 * 8));
}

#[test]
fn running_sequences_keep_to_neighbouring_slots() {
    let mut bench = Bench::new(SPLIT);
    let lengths = [3, 30, 3, 30];
    let _clients: Vec<Client> =
        (0..4).map(|i| bench.submit("a", &prompt(i + 11, 5), lengths[i as usize], 1)).collect();
    bench.run();
    for step in &bench.scheduler.kv_for_tests().steps {
        let mut slots: Vec<u16> = step.iter().map(|row| row.slot.0).collect();
        slots.dedup();
        assert!(slots.windows(2).all(|pair| pair[0] + 1 == pair[1]), "a hole in {slots:?}");
    }
}

#[test]
fn a_preempted_sequence_resumes_with_its_output_unchanged() {
    let mut bench = Bench::new(UNIFIED);
    let prompts: Vec<Vec<u32>> = [21, 22, 23, 24].map(|seed| prompt(seed, 15)).to_vec();
    let mut clients: Vec<Client> = prompts.iter().map(|prompt| bench.submit("a", prompt, 40, 1)).collect();
    bench.run();
    for (client, prompt) in clients.iter_mut().zip(&prompts) {
        assert_eq!(client.answers(), [alone(prompt, 40, 64)]);
    }
    assert!(bench.gauges.preemptions() > 0, "the cells must have run out for this to mean anything");
}

/// Metrics that nobody reads.
fn unseen() -> Arc<Model> {
    Metrics::default().models.of("m")
}

#[test]
fn a_full_queue_says_when_to_come_back() {
    let gauges = Gauges::new(2, unseen());
    gauges.set_ready(true);
    gauges.enter_queue(2).expect("there is room");
    let refused = gauges.enter_queue(1);
    assert!(matches!(refused, Err(EngineError::QueueFull { retry_after }) if retry_after > Duration::ZERO));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_what_the_model_says_alone(
        unified in any::<bool>(),
        jobs in prop::collection::vec((0_u32..3, 1_u32..40, 0_u32..4, 1_u32..30, 1_u32..3, 0_usize..12, prop::option::of(0_usize..6)), 1..12),
    ) {
        let limits = if unified { UNIFIED } else { SPLIT };
        let mut bench = Bench::new(limits);
        let mut clients = Vec::new();
        for (family, length, own, max_tokens, choices, steps, leaves) in jobs {
            let mut text = prompt(family, length);
            text.extend(prompt(own + 40, own));
            let mut client = Some(bench.submit(["a", "b"][(family % 2) as usize], &text, max_tokens, choices));
            for step in 0..steps {
                if leaves == Some(step) {
                    client = None;
                }
                bench.step();
            }
            clients.extend(client.map(|client| (client, text, max_tokens)));
        }
        bench.run();
        for (client, text, max_tokens) in &mut clients {
            let expected = alone(text, *max_tokens, limits.window);
            for answer in client.answers() {
                prop_assert_eq!(&answer, &expected);
            }
        }
        let load = bench.gauges.load();
        prop_assert_eq!((load.running, load.waiting), (0, 0));
    }
}
