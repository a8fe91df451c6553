//! A model in a process of its own: the same answers, and what breaks there ends its own streams alone.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::requests::{ask, endless};
use tests::{EventStream, Frame, Gateway, eventually};

const PATH: &str = "/v1/chat/completions";

/// A gateway that serves the test model twice: `apart` in a process of its own, `here` in its own.
async fn gateway() -> Gateway {
    let builder = Gateway::builder().set("GATEWAY_MODEL", "");
    let model = |id: &str, isolation: &str| {
        let path = tests::model::path();
        format!(
            "[[models]]\nid = \"{id}\"\npath = '{}'\nparallel = 2\ncontext = 2048\nisolation = \"{isolation}\"\n",
            path.display()
        )
    };
    let file = builder.data().join("gateway.toml");
    let config = model("apart", "process") + &model("here", "none");
    std::fs::write(&file, config).expect("a file can be written");
    builder.set("GATEWAY_CONFIG", file.display()).start().await
}

/// Processes whose command line holds this folder and the word `worker`.
fn workers(data: &Path) -> Vec<u32> {
    let folder = data.join("workers");
    let folder = folder.to_str().expect("paths of tests are text");
    let processes = std::fs::read_dir("/proc").expect("there is /proc").flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.contains("worker") && line.contains(folder)
    })
    .collect()
}

fn signal(name: &str, process: u32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status();
    assert!(sent.is_ok_and(|status| status.success()), "{name} can be sent");
}

async fn until_text(stream: &mut EventStream) {
    while stream.chunk().await["choices"][0]["delta"]["content"].as_str().is_none_or(str::is_empty) {}
}

/// What is the same for equal requests.
fn essence(answer: &Value) -> Value {
    let choice = &answer["choices"][0];
    json!([
        choice["message"],
        choice["text"],
        choice["finish_reason"],
        answer["usage"]["prompt_tokens"],
        answer["usage"]["completion_tokens"],
        answer["error"]["code"],
        answer["error"]["param"],
        answer["error"]["message"],
        answer["data"][0]["embedding"],
        answer["tokens"],
        answer["count"],
        answer["token_strs"],
        answer["prompt"]
    ])
}

#[tokio::test]
async fn answers_and_refusals_are_those_of_a_model_in_this_process() {
    let gateway = gateway().await;
    let long = "word ".repeat(4000);
    let chat = json!([{"role": "user", "content": "Name a colour."}]);
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
        "additionalProperties": false});
    for (path, body) in [
        (PATH, json!({"messages": chat, "temperature": 0, "max_tokens": 24})),
        (PATH, json!({"messages": chat, "temperature": 1, "seed": 7, "max_tokens": 24, "n": 1})),
        (
            PATH,
            json!({"messages": chat, "temperature": 0, "max_tokens": 60, "response_format": {"type": "json_schema",
            "json_schema": {"name": "x", "strict": true, "schema": schema}}}),
        ),
        (PATH, json!({"messages": [{"role": "user", "content": long}], "max_tokens": 8})),
        (PATH, json!({"messages": chat, "max_tokens": 4000})),
        (
            PATH,
            json!({"messages": chat, "response_format": {"type": "json_schema",
            "json_schema": {"name": "x", "schema": {"type": "strange"}}}}),
        ),
        ("/v1/completions", json!({"prompt": "One, two,", "temperature": 0, "max_tokens": 12})),
        ("/v1/completions", json!({"prompt": [504, 253], "temperature": 0, "max_tokens": 4})),
        ("/v1/embeddings", json!({"input": "river"})),
        ("/v1/tokenize", json!({"prompt": "Grüße 🙂", "return_token_strs": true})),
        ("/v1/tokenize", json!({"messages": chat})),
        ("/v1/detokenize", json!({"tokens": [504, 253, 9]})),
    ] {
        let mut answers = Vec::new();
        for model in ["here", "apart"] {
            let mut body: Value = body.clone();
            body["model"] = model.into();
            let answer = gateway.http().post(path, &body).await;
            answers.push((answer.status, essence(&answer.json())));
        }
        assert_eq!(
            answers[0],
            answers[1],
            "{path} {}",
            body.to_string().chars().take(300).collect::<String>()
        );
    }
}

#[tokio::test]
async fn an_abort_ends_the_streams_of_its_model_and_no_others_and_it_comes_back() {
    let gateway = gateway().await;
    let before = workers(gateway.data());
    assert_eq!(before.len(), 1, "one model has a process");
    let mut apart = gateway.http().stream(PATH, &endless("apart", "Count for ever.", 1500)).await;
    let mut here = gateway.http().stream(PATH, &endless("here", "Count for ever.", 400)).await;
    until_text(&mut apart).await;
    until_text(&mut here).await;
    signal("ABRT", before[0]);
    let mut last = Value::Null;
    while let Some(frame) = apart.next().await {
        if let Frame::Data(data) = frame {
            last = data;
        }
    }
    assert_eq!(last["error"]["type"], "server_error", "{last}");
    // A request that comes now waits for the next process.
    let again = gateway.http().chat(&ask("apart", "Hi")).await;
    assert!(again["usage"]["completion_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{again}");
    let after = workers(gateway.data());
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
    let mut ended = false;
    while let Some(frame) = here.next().await {
        ended |= matches!(frame, Frame::Done);
    }
    assert!(ended, "the other model's stream went on to its end");
    let metrics = gateway.http().get("/metrics").await.text();
    let restarts =
        metrics.lines().find(|line| line.starts_with("model_loads_total") && line.contains("worker_ended"));
    assert!(restarts.is_some_and(|line| line.ends_with(" 1")), "{restarts:?}");
}

#[tokio::test]
async fn a_process_ends_with_its_gateway_however_that_ends() {
    let mut one = gateway().await;
    assert_eq!(workers(one.data()).len(), 1);
    one.terminate();
    assert_eq!(one.exited().await, Some(0));
    assert_eq!(workers(one.data()), Vec::<u32>::new(), "it is gone before its gateway is");

    let mut other = gateway().await;
    assert_eq!(workers(other.data()).len(), 1);
    other.kill().await;
    let data = other.data().to_owned();
    eventually!(workers(&data).is_empty(), "nobody is left behind");
    let folders = data.join("workers");
    eventually!(
        std::fs::read_dir(&folders).is_ok_and(|entries| entries.count() == 0),
        "its folder is gone, the socket with it"
    );
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_place_there() {
    let gateway = gateway().await;
    let busy = async || {
        let ready = gateway.http().get("/readyz").await.json();
        let models = ready["models"].as_array().expect("models").clone();
        let apart = models.iter().find(|model| model["id"] == "apart").expect("the model").clone();
        apart["running"].as_u64().expect("a count")
    };
    let mut stream = gateway.http().stream(PATH, &endless("apart", "Count for ever.", 1500)).await;
    until_text(&mut stream).await;
    eventually!(busy().await == 1, "it runs there");
    drop(stream);
    eventually!(busy().await == 0, "it does not run any more");
}
