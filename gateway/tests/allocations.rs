//! What it costs in memory to count a token: nothing.

use std::sync::Arc;

use gateway::accounting::{Books, Ledger, Origin, Record};
use gateway::auth::Principal;
use gateway::engine::{Delta, DeltaPart, Event};
use openapi::admin::policy::Policy;

struct NoLedger;

impl Ledger for NoLedger {
    fn settle(&self, _: &Record) {}
}

#[test]
fn counting_a_token_allocates_nothing() {
    let caller = Principal::unlisted("subject", "user", Policy::default());
    let books = Books::new(Arc::new(NoLedger), Arc::default());
    let mut settlement = books.open(Origin::new("req_1".into(), None), "create_chat_completion", &caller);
    settlement.routed("a-model");
    settlement.streams(true);
    let part = Some(DeltaPart::Content(" word".to_owned()));
    let token = Event::Delta(Delta { choice: 0, tokens: 1, part, logprobs: Vec::new() });
    let mut tokens = || allocation_counter::measure(|| (0..1000).for_each(|_| settlement.observe(&token)));
    assert_eq!(tokens().count_total, 0);
    let one = allocation_counter::measure(|| drop(std::hint::black_box(Box::new(1))));
    assert_eq!(one.count_total, 1, "what is counted is counted");
}
