//! Request records as they go over the wire.

use crate::protocol::{Shape, Shaped};

/// Where batches are posted.
pub const RECORDS_PATH: &str = "/v1/records";

/// Some records of one process, with their place in its life: a repeated one is told by it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RecordBatch {
    /// [`crate::protocol::VERSION`].
    #[prost(uint32, tag = "1")]
    pub protocol: u32,
    /// The name of the process among its like.
    #[prost(string, tag = "2")]
    pub instance: String,
    /// When the process began, Unix milliseconds.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    /// Counts the batches of one life.
    #[prost(uint64, tag = "4")]
    pub sequence: u64,
    /// The records.
    #[prost(message, repeated, tag = "5")]
    pub records: Vec<Record>,
}

impl Shaped for RecordBatch {
    const SHAPE: Shape = Shape(&[(5, Shape(&[]))]);
}

/// One request. Never a prompt, an answer or a credential.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    /// When it began, Unix nanoseconds.
    #[prost(uint64, tag = "1")]
    pub time_unix_ns: u64,
    /// To the last byte of the answer.
    #[prost(uint64, tag = "2")]
    pub duration_ns: u64,
    /// The id that the client was told.
    #[prost(string, tag = "3")]
    pub id: String,
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "4")]
    pub trace_id: Vec<u8>,
    /// 8 bytes.
    #[prost(bytes = "vec", tag = "5")]
    pub span_id: Vec<u8>,
    /// 8 bytes, or none.
    #[prost(bytes = "vec", tag = "6")]
    pub parent_span_id: Vec<u8>,
    /// The operation, in snake case.
    #[prost(string, tag = "7")]
    pub route: String,
    /// The model, if one was asked.
    #[prost(string, tag = "8")]
    pub model: String,
    /// Who asked.
    #[prost(string, tag = "9")]
    pub subject: String,
    /// As what.
    #[prost(string, tag = "10")]
    pub role: String,
    /// The status of the answer.
    #[prost(uint32, tag = "11")]
    pub status: u32,
    /// How it ended.
    #[prost(string, tag = "12")]
    pub outcome: String,
    /// Why it failed; a bounded label.
    #[prost(string, tag = "13")]
    pub reason: String,
    /// Why the model stopped.
    #[prost(string, tag = "14")]
    pub finish: String,
    /// Tokens of the prompt.
    #[prost(uint32, tag = "15")]
    pub prompt_tokens: u32,
    /// Those of them that were in the cache.
    #[prost(uint32, tag = "16")]
    pub cached_tokens: u32,
    /// Tokens that were made.
    #[prost(uint32, tag = "17")]
    pub completion_tokens: u32,
    /// The wait for a place.
    #[prost(uint64, tag = "18")]
    pub queue_ns: u64,
    /// To the first token; 0: there was none.
    #[prost(uint64, tag = "19")]
    pub first_token_ns: u64,
    /// It was a stream.
    #[prost(bool, tag = "20")]
    pub stream: bool,
    /// How many requests it stands for: one by the rate of sampling.
    #[prost(double, tag = "21")]
    pub weight: f64,
    /// Why it was kept: `sampled`, `error` or `slow`.
    #[prost(string, tag = "22")]
    pub kept: String,
}
