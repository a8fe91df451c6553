//! Anthropic's Messages API on the wire: the request, the answer, the events of a stream, and failures.

mod content;
mod error;
mod event;
mod request;
mod response;
mod tool;

pub use content::{
    InputBlock, InputContent, InputMessage, InputRole, ResultBlock, ResultContent, SystemBlock, SystemPrompt,
    TextBlock,
};
pub use error::{MessagesErrorBody, MessagesErrorDetails, MessagesErrorEnvelope};
pub use event::{BlockDelta, EndDelta, MessagesEvent};
pub use request::{
    CountTokensRequest, MessagesMetadata, MessagesRequest, OutputConfig, OutputFormat, ThinkingConfig,
};
pub use response::{
    AnswerBlock, MessagesAnswer, MessagesUsage, OutputTokensDetails, StopReason, TokensCount,
};
pub use tool::{MessagesTool, MessagesToolChoice};
