//! What a model's output looks like: the marks its template teaches it for tool calls and reasoning.

use std::sync::Arc;

/// How the text of one answer is to be read. Comes from the template, for one request; the default is plain text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputStyle {
    /// How calls are written, where the request allows any.
    pub tools: Option<ToolStyle>,
    /// The marks around reasoning, where the model reasons.
    pub reasoning: Option<ReasoningMarks>,
    /// The generation prompt already opened the reasoning.
    pub begins_in_reasoning: bool,
}

/// Tool calls of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolStyle {
    /// How a call is written.
    pub format: ToolFormat,
    /// The functions of the request; where no mark tells a call from other JSON, its name must be one of these.
    pub names: Arc<[String]>,
    /// Whether one answer may hold several calls; if not, it ends with the first.
    pub parallel: bool,
}

/// The ways in which models write a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ToolFormat {
    /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`: Hermes, Qwen and many more.
    Hermes,
    /// `{"name": …, "parameters": {…}}` as the whole answer, with or without `<|python_tag|>` before it: Llama 3.
    Llama,
    /// `[TOOL_CALLS] [{"name": …, "arguments": {…}}]`: Mistral.
    MistralList,
    /// `[TOOL_CALLS]name[ARGS]{…}`: Mistral since its tokenizer 11.
    MistralNamed,
}

impl ToolFormat {
    /// The mark that begins a call.
    pub fn open(self) -> &'static str {
        match self {
            Self::Hermes => "<tool_call>",
            Self::Llama => "<|python_tag|>",
            Self::MistralList | Self::MistralNamed => "[TOOL_CALLS]",
        }
    }

    /// The mark that ends a call, where there is one.
    pub fn close(self) -> Option<&'static str> {
        match self {
            Self::Hermes => Some("</tool_call>"),
            Self::Llama | Self::MistralList | Self::MistralNamed => None,
        }
    }

    /// The key of a call's arguments.
    pub fn arguments_key(self) -> &'static str {
        match self {
            Self::Llama => "parameters",
            Self::Hermes | Self::MistralList | Self::MistralNamed => "arguments",
        }
    }
}

/// The marks around reasoning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReasoningMarks {
    /// Such as `<think>`.
    pub open: String,
    /// Such as `</think>`.
    pub close: String,
}

impl OutputStyle {
    /// Whether the written form of a special token is a mark that must reach the [`super::OutputParser`]. All other
    /// special tokens add no text to an answer.
    pub fn reads_mark(&self, token: &[u8]) -> bool {
        let tools = self.tools.as_ref().is_some_and(|tools| {
            let format = tools.format;
            token == format.open().as_bytes()
                || format.close().is_some_and(|close| token == close.as_bytes())
                || (format == ToolFormat::MistralNamed && (token == b"[ARGS]" || token == b"[CALL_ID]"))
        });
        let reasoning = self
            .reasoning
            .as_ref()
            .is_some_and(|marks| token == marks.open.as_bytes() || token == marks.close.as_bytes());
        tools || reasoning
    }
}
