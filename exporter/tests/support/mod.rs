//! What the tests against real services share.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

use exporter::records::wire::{Record, RecordBatch};

/// A moment of now, and different in every run.
#[expect(clippy::disallowed_methods, reason = "services drop what is too old")]
pub(crate) fn now_ns() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_nanos()).unwrap()
}

/// So many records, a microsecond apart, with texts that need care.
pub(crate) fn batch(start: u64, count: u64) -> RecordBatch {
    let record = |number: u64| Record {
        time_unix_ns: start + number * 1000,
        duration_ns: 1_500_000_000,
        id: format!("req-{number}"),
        trace_id: u128::from(start + number).to_be_bytes().to_vec(),
        span_id: (start + number).to_be_bytes().to_vec(),
        route: "create_chat_completion".to_owned(),
        model: "small, \"fast\"=yes ä".to_owned(),
        role: "user".to_owned(),
        status: if number % 10 == 9 { 503 } else { 200 },
        outcome: "ok".to_owned(),
        prompt_tokens: 7,
        completion_tokens: u32::try_from(number).unwrap(),
        first_token_ns: 250_000_000,
        weight: 2.0,
        kept: "sampled".to_owned(),
        ..Record::default()
    };
    RecordBatch {
        protocol: 1,
        instance: "gw-1".to_owned(),
        epoch: start,
        sequence: 1,
        records: (0..count).map(record).collect(),
    }
}
