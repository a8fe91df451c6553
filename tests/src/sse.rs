//! Server-sent events as they come over the wire, checked strictly.

use http_body_util::BodyExt;
use serde_json::Value;

use crate::http::Opened;
use crate::patience::patiently;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// `data: {…}`
    Data(Value),
    /// `data: [DONE]`
    Done,
    /// `: …`, which keeps a silent connection open.
    Comment(String),
}

/// An open event stream. Dropping it closes the connection.
#[derive(Debug)]
pub struct EventStream {
    /// Its `content-type`, `x-request-id` and the others.
    pub headers: http::HeaderMap,
    opened: Opened,
    buffer: Vec<u8>,
}

impl EventStream {
    pub(crate) fn new(opened: Opened) -> Self {
        let headers = opened.response.headers().clone();
        let kind = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert!(kind.starts_with("text/event-stream"), "a stream of type {kind:?}");
        assert!(headers.contains_key("x-request-id"), "a stream without x-request-id");
        Self { headers, opened, buffer: Vec::new() }
    }

    /// The next event, or nothing after the end of the stream; panics if the connection breaks.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = take_frame(&mut self.buffer) {
                return Some(frame);
            }
            match patiently("the next event", self.opened.response.body_mut().frame()).await {
                Some(Ok(frame)) => self.buffer.extend(frame.into_data().unwrap_or_default()),
                Some(Err(error)) => panic!("the stream broke: {error}"),
                None => {
                    assert!(self.buffer.is_empty(), "half an event at the end: {:?}", self.buffer);
                    return None;
                }
            }
        }
    }

    /// The next `data` event's JSON; panics on the end.
    pub async fn chunk(&mut self) -> Value {
        loop {
            match self.next().await {
                Some(Frame::Data(chunk)) => return chunk,
                Some(Frame::Comment(_)) => {}
                other => panic!("{other:?} instead of a chunk"),
            }
        }
    }

    /// Everything up to the end, without comments.
    pub async fn rest(mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            if !matches!(frame, Frame::Comment(_)) {
                frames.push(frame);
            }
        }
        frames
    }
}

/// Takes one whole event off the front: exactly one line and an empty one, as the contract has it.
pub fn take_frame(buffer: &mut Vec<u8>) -> Option<Frame> {
    let end = buffer.windows(2).position(|pair| pair == b"\n\n")?;
    let event: Vec<u8> = buffer.drain(..end + 2).collect();
    let text = String::from_utf8(event).expect("events are UTF-8");
    let line = text.trim_end_matches('\n');
    assert!(!line.contains(['\n', '\r']), "an event of several lines: {line:?}");
    if let Some(comment) = line.strip_prefix(':') {
        return Some(Frame::Comment(comment.trim().to_owned()));
    }
    let data = line.strip_prefix("data: ").unwrap_or_else(|| panic!("neither data nor comment: {line:?}"));
    if data == "[DONE]" {
        return Some(Frame::Done);
    }
    Some(Frame::Data(serde_json::from_str(data).unwrap_or_else(|error| panic!("{error} in {data:?}"))))
}

#[cfg(test)]
mod tests {
    use super::{Frame, take_frame};

    #[test]
    fn an_event_is_taken_only_when_it_is_whole() {
        let mut buffer = b"data: {\"a\":1}\n".to_vec();
        assert_eq!(take_frame(&mut buffer), None);
        buffer.extend(b"\n: ping\n\ndata: [DONE]\n\n");
        assert_eq!(take_frame(&mut buffer), Some(Frame::Data(serde_json::json!({"a": 1}))));
        assert_eq!(take_frame(&mut buffer), Some(Frame::Comment("ping".to_owned())));
        assert_eq!(take_frame(&mut buffer), Some(Frame::Done));
        assert_eq!(take_frame(&mut buffer), None);
    }
}
