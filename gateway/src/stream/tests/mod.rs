//! What the client gets of a script, byte for byte, and what the ledger learns.

mod completion;
mod ends;
mod folding;
mod frames;
mod message;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use openapi::admin::policy::Policy;
use openapi::message::ResponseFormat;
use tokio_util::sync::CancellationToken;

use super::chat::ChatWire;
use super::completion::CompletionWire;
use super::{Frames, Head, StreamShape, Watched, Wire, merge};
use crate::accounting::Origin;
use crate::accounting::tests::{Collected, books};
use crate::auth::Principal;
use crate::auth::live::Live;
use crate::engine::scripted::{Script, ScriptedEngine};
use crate::engine::{Engine, GenerationRequest, Prompt, Sampling, Start};

const QUIET: Duration = Duration::from_mins(10);

/// One generation of a script, ready to be read in some way.
struct Stage {
    engine: ScriptedEngine,
    ledger: Arc<Collected>,
    killed: CancellationToken,
    live: Arc<Live>,
    events: Watched,
    shape: StreamShape,
}

impl Stage {
    async fn set(script: Script, shape: StreamShape) -> Self {
        Self::set_prompts(script, shape, 1).await
    }

    /// Every prompt gets the script; the choices are shared out among them.
    async fn set_prompts(script: Script, shape: StreamShape, prompts: u32) -> Self {
        let engine = ScriptedEngine::new("m", script);
        let (books, ledger) = books();
        let killed = CancellationToken::new();
        let choices = shape.choices / prompts;
        let mut generations = Vec::new();
        for _ in 0..prompts {
            let prepared = engine.prepare(request(choices, shape)).await.expect("prepares");
            let start = Start { tenant: "t".into(), priority: 0 };
            generations.push(prepared.start(start).await.expect("starts"));
        }
        let generation = merge(generations, choices);
        let live = Arc::new(Live::default());
        let caller = Principal::unlisted("t", "user", Policy::default());
        let listed = live.begin(&caller);
        let events = Watched::new(
            generation,
            books.open(Origin::new("req_1".into(), None), "create", &caller),
            killed.clone(),
            listed,
        );
        Self { engine, ledger, killed, live, events, shape }
    }

    fn chat(self) -> (Frames<ChatWire>, Rest) {
        let wire = ChatWire::new(&head(), self.shape);
        self.frames(wire, QUIET)
    }

    fn completion(self, echoes: &[&str]) -> (Frames<CompletionWire>, Rest) {
        let echoes = echoes.iter().map(|&echo| echo.to_owned()).collect();
        let wire = CompletionWire::new(&head(), self.shape, echoes);
        self.frames(wire, QUIET)
    }

    fn frames<W: Wire>(self, wire: W, keep_alive: Duration) -> (Frames<W>, Rest) {
        let rest = Rest { engine: self.engine, ledger: self.ledger, killed: self.killed, live: self.live };
        (Frames::new(self.events, wire, keep_alive), rest)
    }
}

/// What stays when the stream has gone on its way.
struct Rest {
    engine: ScriptedEngine,
    ledger: Arc<Collected>,
    killed: CancellationToken,
    live: Arc<Live>,
}

impl Rest {
    /// How each request so far ended.
    fn outcomes(&self) -> Vec<&'static str> {
        self.ledger.0.lock().iter().map(|record| record.outcome.as_str()).collect()
    }
}

fn one() -> StreamShape {
    StreamShape { choices: 1, logprobs: false, include_usage: false }
}

fn head() -> Head {
    Head {
        id: "x-1".to_owned(),
        created: 7,
        model: "m".to_owned(),
        fingerprint: "fp_0".to_owned(),
        service_tier: None,
    }
}

fn request(choices: u32, shape: StreamShape) -> GenerationRequest {
    GenerationRequest {
        prompt: Prompt::Text("four".to_owned()),
        sampling: Sampling::default(),
        max_tokens: None,
        stop: Vec::new(),
        choices,
        logprobs: shape.logprobs.then_some(1),
        format: ResponseFormat::Text,
        wire: None,
    }
}

async fn frame<W: Wire>(frames: &mut Frames<W>) -> String {
    text(&frames.next().await.expect("a frame").expect("no error"))
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// The whole body.
async fn body<W: Wire>(mut frames: Frames<W>) -> String {
    let mut all = String::new();
    while let Some(bytes) = frames.next().await {
        all.push_str(&text(&bytes.expect("no error")));
    }
    all
}

/// The data of a body's events, without what is the same in every chat chunk.
fn data(body: &str) -> Vec<String> {
    let strip = |event: &str| {
        event.strip_prefix("data: ").expect("an event").replacen(
            r#""id":"x-1","object":"chat.completion.chunk","created":7,"model":"m","system_fingerprint":"fp_0","#,
            "",
            1,
        )
    };
    body.split_terminator("\n\n").map(strip).collect()
}
