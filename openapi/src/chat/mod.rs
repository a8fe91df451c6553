//! Chat completions on the wire: the request, the answer and the chunks of a stream.

mod request;
mod response;

pub use request::{ChatRequest, NumberMap, Stop, StreamOptions};
pub use response::{
    ChatChoice, ChatChunk, ChatChunkChoice, ChatCompletion, ChatDelta, ChatLogprobs, ChatMessage,
    FinishReason, FunctionDelta, LogprobToken, TokenLogprobs, ToolCallDelta,
};
