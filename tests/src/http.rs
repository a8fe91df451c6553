//! An HTTP client that knows one gateway's address and key.

use std::net::SocketAddr;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::answer::Answer;
use crate::fold::Folded;
use crate::patience::patiently;
use crate::sse::EventStream;

/// An HTTP client that knows one gateway's address and key.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    address: SocketAddr,
    key: String,
}

impl Http {
    /// A client for the gateway at this address.
    pub fn new(address: SocketAddr, key: &str) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().expect("an HTTP client can be made");
        Self { client, address, key: key.to_owned() }
    }

    /// Where the gateway listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The one key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// A request without a credential.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// A request with the credential.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.key)
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    /// `GET`, or nothing where there is no connection.
    pub async fn try_get(&self, path: &str) -> Option<Answer> {
        let response = self.request(Method::GET, path).send().await.ok()?;
        Answer::read(response).await.ok()
    }

    /// `POST` of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_bytes(path, body.to_string()).await
    }

    /// `POST` of any bytes that claim to be JSON.
    pub async fn post_bytes(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        send(self.request(Method::POST, path).header("content-type", "application/json").body(body)).await
    }

    /// A chat completion that must succeed.
    pub async fn chat(&self, body: &Value) -> Value {
        self.post("/v1/chat/completions", body).await.ok()
    }

    /// A streamed request: `stream` is set here. Returns when the first byte may come.
    pub async fn stream(&self, path: &str, body: &Value) -> EventStream {
        match self.try_stream(path, body).await {
            Ok(stream) => stream,
            Err(answer) => panic!("{} instead of a stream: {}", answer.status, answer.text()),
        }
    }

    /// A streamed request, or the refusal.
    pub async fn try_stream(&self, path: &str, body: &Value) -> Result<EventStream, Answer> {
        let mut body = body.clone();
        body["stream"] = Value::Bool(true);
        let request = self
            .request(Method::POST, path)
            .header("content-type", "application/json")
            .body(body.to_string());
        let response = patiently("the stream's head", request.send()).await.expect("the gateway answers");
        if response.status().as_u16() != 200 {
            return Err(patiently("an answer", Answer::read(response)).await.expect("the answer is whole"));
        }
        Ok(EventStream::new(response))
    }

    /// A streamed chat completion read to its end.
    pub async fn chat_stream(&self, body: &Value) -> Folded {
        let stream = self.stream("/v1/chat/completions", body).await;
        Folded::read(stream).await
    }
}

/// Sends a request and reads the whole answer.
pub async fn send(request: RequestBuilder) -> Answer {
    let response = patiently("an answer's head", request.send()).await.expect("the gateway answers");
    patiently("an answer's body", Answer::read(response)).await.expect("the answer is whole")
}
