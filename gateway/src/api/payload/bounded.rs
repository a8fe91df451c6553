//! A request body that fails once it is longer than allowed, however it is sent.

use std::io;

use bytes::Bytes;
use futures_util::StreamExt;
use poem::http::header;
use poem::{Body, Request};

/// The body is longer than is read; the bounded body fails with it.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the request body is longer than {limit} bytes")]
pub struct BodyTooLong {
    /// The most that is read.
    pub limit: usize,
}

/// Bounds the request's body. Nothing is read yet, so that those without a credential cost nothing.
pub fn bound_body(request: &mut Request, limit: usize) {
    let declared = request.headers().get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()).and_then(|value| value.parse::<u64>().ok());
    let body = request.take_body();
    let too_long = move || io::Error::other(BodyTooLong { limit });
    if declared.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit)) {
        let failed = std::future::ready(Err::<Bytes, _>(too_long()));
        request.set_body(Body::from_bytes_stream(futures_util::stream::once(failed)));
        return;
    }
    let mut left = limit;
    let bounded = body.into_bytes_stream().map(move |chunk| {
        let chunk = chunk?;
        left = left.checked_sub(chunk.len()).ok_or_else(too_long)?;
        Ok::<_, io::Error>(chunk)
    });
    request.set_body(Body::from_bytes_stream(bounded));
}
