//! What a recorded answer said and when: token times, text, usage. Read after the exchange, not during it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::error::CallError;
use crate::http::{Recording, refusal};
use crate::sse;

/// A streamed answer, understood.
#[derive(Debug)]
pub(crate) struct Transcript {
    /// When the request began.
    pub(crate) started: Instant,
    /// When each event that carried output arrived.
    pub(crate) output_at: Vec<Instant>,
    /// The answer's text.
    pub(crate) text: String,
    /// `finish_reason`, where the answer came to its end.
    pub(crate) finish: Option<String>,
    /// What the server counted.
    pub(crate) usage: Option<WireUsage>,
    /// Whether the end mark came.
    pub(crate) done: bool,
}

/// The usage of `OpenAI`'s API.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
pub(crate) struct WireUsage {
    /// Tokens of the prompt.
    pub(crate) prompt_tokens: u64,
    /// Tokens generated.
    #[serde(default)]
    pub(crate) completion_tokens: u64,
    /// Of the prompt's tokens.
    #[serde(default)]
    pub(crate) prompt_tokens_details: Option<PromptDetails>,
}

/// Details of the prompt's tokens.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
pub(crate) struct PromptDetails {
    /// Tokens that were not computed again.
    #[serde(default)]
    pub(crate) cached_tokens: u64,
}

#[derive(Deserialize)]
struct WireChunk {
    #[serde(default)]
    choices: Vec<WireChoice>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct WireChoice {
    #[serde(default)]
    delta: Option<WireDelta>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct WireDelta {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Value>,
}

impl Transcript {
    /// Reads a recorded event stream, whole or cut off by us; a refusal or an error event is an error.
    pub(crate) fn read(recording: &Recording) -> Result<Self, CallError> {
        if recording.status != 200 {
            return Err(refusal(recording));
        }
        let mut transcript = Self {
            started: recording.started,
            output_at: Vec::new(),
            text: String::new(),
            finish: None,
            usage: None,
            done: false,
        };
        let mut marks = recording.marks.iter();
        let mut mark = marks.next();
        for event in sse::events(&recording.body) {
            while mark.is_some_and(|(end, _)| *end < event.end) {
                mark = marks.next();
            }
            let at = mark.map_or(recording.started, |(_, at)| *at);
            transcript.take(&event.data, at)?;
        }
        Ok(transcript)
    }

    /// The same, for an answer that must have come to its end.
    pub(crate) fn whole(recording: &Recording) -> Result<Self, CallError> {
        let transcript = Self::read(recording)?;
        if !transcript.done {
            return Err(CallError::Stream("ended without [DONE]".to_owned()));
        }
        Ok(transcript)
    }

    fn take(&mut self, data: &str, at: Instant) -> Result<(), CallError> {
        if data == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        let chunk: WireChunk =
            serde_json::from_str(data).map_err(|error| CallError::Stream(format!("bad chunk: {error}")))?;
        if let Some(error) = chunk.error {
            return Err(CallError::Stream(error.to_string().chars().take(200).collect()));
        }
        if chunk.usage.is_some() {
            self.usage = chunk.usage;
        }
        for choice in chunk.choices {
            if choice.finish_reason.is_some() {
                self.finish.clone_from(&choice.finish_reason);
            }
            if self.add_output(&choice) {
                self.output_at.push(at);
            }
        }
        Ok(())
    }

    /// Adds a choice's text; true if it carried any output.
    fn add_output(&mut self, choice: &WireChoice) -> bool {
        let delta = choice.delta.as_ref();
        let content = delta.and_then(|delta| delta.content.as_deref());
        let reasoning = delta.and_then(|delta| delta.reasoning_content.as_deref());
        let calls = delta.and_then(|delta| delta.tool_calls.as_ref()).is_some_and(|calls| !calls.is_null());
        let text = content.or(choice.text.as_deref()).unwrap_or_default();
        self.text.push_str(text);
        !text.is_empty() || reasoning.is_some_and(|text| !text.is_empty()) || calls
    }

    /// From the request's begin to the first output.
    pub(crate) fn time_to_first_token(&self) -> Option<Duration> {
        self.output_at.first().map(|at| at.duration_since(self.started))
    }

    /// The pauses between events that carried output.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = (Instant, Instant)> + '_ {
        self.output_at.iter().copied().zip(self.output_at.iter().copied().skip(1))
    }

    /// Tokens generated: the server's count, or that of the events where it gave none.
    pub(crate) fn tokens(&self) -> u64 {
        self.usage.map_or(self.output_at.len() as u64, |usage| usage.completion_tokens)
    }

    /// Tokens of the prompt by the server's count; zero where it gave none.
    pub(crate) fn prompt_tokens(&self) -> u64 {
        self.usage.map_or(0, |usage| usage.prompt_tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recording in which each part arrived in a read of its own, 10 ms apart.
    fn recording(parts: &[&str]) -> Recording {
        let started = Instant::now();
        let mut recording = Recording { started, status: 200, body: Vec::new(), marks: Vec::new() };
        for (index, part) in parts.iter().enumerate() {
            recording.body.extend_from_slice(part.as_bytes());
            let at = started + Duration::from_millis(10 * (index as u64 + 1));
            recording.marks.push((recording.body.len(), at));
        }
        recording
    }

    const ROLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null},\"finish_reason\":null}]}\n\n";
    const HELLO: &str =
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"},\"finish_reason\":null}]}\n\n";
    const END: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n";
    const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\
                         \"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n";

    #[test]
    fn a_chat_stream_gives_times_text_and_usage() {
        let read = recording(&[ROLE, HELLO, HELLO, END, USAGE, "data: [DONE]\n\n"]);
        let transcript = Transcript::whole(&read).unwrap();
        assert_eq!(transcript.text, "HelloHello");
        assert_eq!(transcript.time_to_first_token(), Some(Duration::from_millis(20)));
        let gaps: Vec<Duration> = transcript.gaps().map(|(from, to)| to - from).collect();
        assert_eq!(gaps, [Duration::from_millis(10)]);
        assert_eq!(transcript.finish.as_deref(), Some("length"));
        assert_eq!(transcript.tokens(), 3);
        let cached = transcript.usage.and_then(|usage| usage.prompt_tokens_details);
        assert_eq!(cached, Some(PromptDetails { cached_tokens: 4 }));
    }

    #[test]
    fn an_event_split_over_reads_counts_when_it_is_complete() {
        let (head, tail) = HELLO.split_at(20);
        let transcript = Transcript::read(&recording(&[head, tail])).unwrap();
        assert_eq!(transcript.time_to_first_token(), Some(Duration::from_millis(20)));
        assert_eq!(transcript.tokens(), 1);
    }

    #[test]
    fn a_text_completion_is_read_the_same_way() {
        let chunk = "data: {\"choices\":[{\"text\":\" a\",\"finish_reason\":null}]}\n\n";
        let transcript = Transcript::read(&recording(&[chunk, chunk])).unwrap();
        assert_eq!((transcript.text.as_str(), transcript.output_at.len()), (" a a", 2));
    }

    #[test]
    fn an_error_event_a_refusal_and_a_cut_stream_are_failures() {
        let error = recording(&[HELLO, "data: {\"error\":{\"message\":\"broke\"}}\n\n"]);
        assert_eq!(Transcript::read(&error).unwrap_err().kind(), "stream");
        let mut refused = recording(&["{\"error\":{}}"]);
        refused.status = 503;
        assert_eq!(Transcript::read(&refused).unwrap_err().kind(), "status 503");
        assert!(Transcript::read(&recording(&[HELLO])).is_ok());
        assert_eq!(Transcript::whole(&recording(&[HELLO])).unwrap_err().kind(), "stream");
    }
}
