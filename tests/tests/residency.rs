//! Local models that come and go: by the first request, by an admin, by the command line, and for want of room.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::path::Path;
use std::process::Output;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::http::Http;
use tests::{Answer, Builder, EventStream, Frame, Gateway, builder, eventually, lora, model};
use tokio::task::JoinSet;

const CHAT: &str = "/v1/chat/completions";
/// Room for one of the models below and not for two.
const ONE: u32 = 200;

/// A gateway whose file has these models, all of them the test model.
fn several(budget: u32, models: &[(&str, &str)]) -> Builder {
    let builder = Gateway::builder();
    let mut text = format!(
        "memory_budget_mib = {budget}\n[model]\ncontext = 512\nthreads = 1\nparallel = 2\nbatch = 64\nprefill_chunk = 64\n\
         prefix_cache_mib = 16\n"
    );
    for (id, more) in models {
        write!(text, "[[models]]\nid = '{id}'\npath = '{}'\n{more}\n", model::path().display())
            .expect("written");
    }
    let file = builder.data().join("gateway.toml");
    std::fs::write(&file, text).expect("the configuration is written");
    let file = file.display().to_string();
    builder.set("GATEWAY_MODEL", "").arguments(["--config", &file])
}

const ON_DEMAND: &str = "load = 'on-demand'";

async fn memory(gateway: &Gateway, name: &str) -> Value {
    let served = gateway.http().get(&format!("/admin/v1/models/{name}")).await.ok();
    served["targets"][0]["memory"].clone()
}

async fn state(gateway: &Gateway, name: &str) -> String {
    memory(gateway, name).await["state"].as_str().expect("a state").to_owned()
}

async fn act(gateway: &Gateway, name: &str, action: &str) -> Answer {
    gateway.http().post(&format!("/admin/v1/models/{name}/{action}"), &json!({})).await
}

fn ask(model: &str, text: &str) -> Value {
    tests::requests::ask(model, text)
}

fn endless(model: &str, tokens: u32) -> Value {
    tests::requests::endless(model, "Count for ever.", tokens)
}

fn content(answer: &Value) -> String {
    answer["choices"][0]["message"]["content"].as_str().expect("an answer").to_owned()
}

#[tokio::test]
async fn the_first_request_for_a_model_has_it_loaded_and_is_answered() {
    let gateway = several(0, &[("a", ""), ("b", ON_DEMAND)]).start().await;
    assert_eq!((state(&gateway, "a").await, state(&gateway, "b").await), ("ready".into(), "unloaded".into()));
    let listed = gateway.http().get("/v1/models").await.ok();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(2), "{listed}");
    let [a, b] = [&listed["data"][0], &listed["data"][1]];
    for key in ["context_window", "embedding_dimensions", "owned_by"] {
        assert_eq!(a[key], b[key], "what is told from the file's head is so");
    }
    assert_eq!(b["context_window"], 512);
    let (from_a, from_b) = (ask("a", "What is the sea?"), ask("b", "What is the sea?"));
    let answers =
        join_all([gateway.http().chat(&from_a), gateway.http().chat(&from_b), gateway.http().chat(&from_b)]);
    let answers: Vec<_> = answers.await.iter().map(content).collect();
    assert_eq!(answers[0], answers[1]);
    let memory = memory(&gateway, "b").await;
    assert_eq!((&memory["state"], &memory["in_use"]), (&json!("ready"), &json!(0)), "{memory}");
    assert!(memory["weights_bytes"].as_u64() > Some(50 << 20) && memory["last_used"].is_u64(), "{memory}");
    let metrics = gateway.http().get("/metrics").await.text();
    assert!(metrics.contains(r#"model_loads_total{model="b",outcome="loaded"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"model_loaded{model="b"} 1"#), "{metrics}");
    for path in ["/v1/embeddings", "/v1/tokenize"] {
        act(&gateway, "b", "unload").await.ok();
        eventually!(state(&gateway, "b").await == "unloaded", "it has gone");
        let body = json!({"model": "b", "input": "sea", "prompt": "sea"});
        gateway.http().post(path, &body).await.ok();
    }
}

/// Reads the rest of a stream, which must have all its tokens.
async fn whole(stream: EventStream) {
    let frames = stream.rest().await;
    let [.., Frame::Data(last), Frame::Done] = &frames[..] else { panic!("it broke off: {frames:?}") };
    assert_eq!(last["choices"][0]["finish_reason"], "length", "{last}");
}

#[tokio::test]
async fn unloading_under_load_never_breaks_a_stream() {
    let gateway = several(0, &[("a", ""), ("b", "")]).start().await;
    for tokens in [20, 30] {
        let streams = join_all((0..3).map(|_| async {
            let mut stream = gateway.http().stream(CHAT, &endless("b", tokens)).await;
            stream.chunk().await;
            stream
        }))
        .await;
        assert_eq!(
            act(&gateway, "b", "unload").await.refused(409, "invalid_request_error")["code"],
            "in_use"
        );
        let drained = act(&gateway, "b", "unload?wait=true");
        // Those who come while it goes wait for it to come back.
        let after = endless("b", 5);
        let late = gateway.http().chat_stream(&after);
        let read = join_all(streams.into_iter().map(whole));
        let (drained, late, _) = tokio::join!(drained, late, read);
        drained.ok();
        assert!(late.done, "{late:?}");
    }
    assert_eq!(state(&gateway, "a").await, "ready", "the other model was not asked");
}

#[tokio::test]
async fn two_models_share_room_for_one_and_every_request_is_answered() {
    let gateway = several(ONE, &[("a", ON_DEMAND), ("b", ON_DEMAND)]).start().await;
    gateway.http().chat(&ask("a", "Hi")).await;
    assert_eq!(state(&gateway, "a").await, "ready");
    gateway.http().chat(&ask("b", "Hi")).await;
    assert_eq!((state(&gateway, "a").await, state(&gateway, "b").await), ("unloaded".into(), "ready".into()));
    let turns = (0..8).map(|turn| {
        let gateway = &gateway;
        async move { gateway.http().chat_stream(&endless(if turn % 2 == 0 { "a" } else { "b" }, 20)).await }
    });
    for folded in join_all(turns).await {
        assert!(folded.done && folded.error.is_none(), "{folded:?}");
    }
    act(&gateway, "a", "load?wait=true").await.ok();
    assert_eq!(act(&gateway, "a", "pin").await.ok()["pinned"], true);
    let waiting = Http::new(gateway.address(), gateway.http().key());
    let mut asked = JoinSet::new();
    asked.spawn(async move { waiting.chat(&ask("b", "Hi")).await });
    eventually!(state(&gateway, "b").await == "queued", "a pinned model makes no room");
    assert_eq!(act(&gateway, "a", "unpin").await.ok()["pinned"], false);
    content(&asked.join_next().await.expect("asked").expect("answered"));
    assert_eq!(state(&gateway, "a").await, "unloaded");
}

#[tokio::test]
async fn past_the_bound_of_its_queue_a_model_that_has_no_room_says_when_to_come_back() {
    let gateway = several(ONE, &[("a", ""), ("b", "load = 'on-demand'\nqueue = 1")]).start().await;
    let mut busy = gateway.http().stream(CHAT, &endless("a", 400)).await;
    busy.chunk().await;
    let waiting = Http::new(gateway.address(), gateway.http().key());
    let mut asked = JoinSet::new();
    asked.spawn(async move { waiting.chat(&ask("b", "Hi")).await });
    eventually!(memory(&gateway, "b").await["waiting"] == 1, "one waits");
    let refused = gateway.http().post(CHAT, &ask("b", "Hi")).await;
    assert_eq!(refused.refused(503, "overloaded_error")["code"], "model_not_ready");
    let seconds: u32 = refused.header("retry-after").parse().expect("whole seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
    drop(busy);
    content(&asked.join_next().await.expect("asked").expect("answered"));
}

#[tokio::test]
async fn a_model_larger_than_the_budget_is_no_start() {
    let failure = several(60, &[("a", ON_DEMAND)]).try_start().await.expect_err("it can never fit");
    assert_eq!(failure.code, Some(1), "{}", failure.log);
    assert!(failure.log.contains("memory_budget_mib"), "{}", failure.log);
}

#[tokio::test]
async fn an_adapter_answers_under_its_own_name_and_leaves_the_model_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let adapters = format!(
        "adapters = [{{ name = 'odd', path = '{0}' }}, {{ name = 'none', path = '{0}', scale = 0.0 }}]",
        lora::adapter(folder.path()).display()
    );
    let gateway = several(0, &[("a", &adapters)]).start().await;
    let question = "Tell me about the sea.";
    let plain = content(&gateway.http().chat(&ask("a", question)).await);
    assert_eq!(state(&gateway, "a:odd").await, "unloaded");
    let odd = content(&gateway.http().chat(&ask("a:odd", question)).await);
    assert_ne!(odd, plain);
    let asked = [ask("a", question), ask("a:odd", question), ask("a:none", question)];
    let together = join_all(asked.iter().map(|request| gateway.http().chat(request))).await;
    let together: Vec<_> = together.iter().map(content).collect();
    assert_eq!((&together[0], &together[2]), (&plain, &plain), "side by side");
    assert_ne!(together[1], plain);
    let (base, adapted) = (memory(&gateway, "a").await, memory(&gateway, "a:odd").await);
    assert_eq!(base["weights_bytes"], adapted["weights_bytes"], "they are the same ones");
    act(&gateway, "a", "unload").await.ok();
    assert_ne!(
        content(&gateway.http().chat(&ask("a:odd", question)).await),
        plain,
        "the weights stay for it"
    );
}

#[tokio::test]
async fn a_file_that_is_no_adapter_is_a_clear_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let absent = folder.path().join("absent.gguf");
    for path in [absent, lora::impostor(folder.path()), model::path()] {
        let adapters = format!("adapters = [{{ name = 'x', path = '{}' }}]", path.display());
        let failure = several(0, &[("a", &adapters)]).try_start().await.expect_err("no adapter");
        assert_eq!(failure.code, Some(1), "{}", failure.log);
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(failure.log.contains(&name) && !failure.log.contains("panicked"), "{}", failure.log);
    }
}

#[tokio::test]
async fn a_file_of_the_data_folder_is_served_while_the_gateway_runs_and_no_other() {
    let gateway = several(0, &[("a", "")]).start().await;
    let models = gateway.data().join("models");
    std::fs::create_dir_all(&models).expect("a folder");
    std::fs::copy(model::path(), models.join("more.gguf")).expect("a copy");
    std::os::unix::fs::symlink(model::path(), models.join("out.gguf")).expect("a link");
    let load = async |name: &str, file: &str| {
        let path = format!("/admin/v1/models/{name}/load?wait=true");
        gateway.http().post(&path, &json!({"file": file})).await
    };
    let outside = model::path().display().to_string();
    for file in ["../gateway.toml", "out.gguf", "../models/more.gguf", ".", "", &outside] {
        let error = load("more", file).await.refused(400, "invalid_request_error");
        assert_eq!(error["code"], "file_not_found", "{file}");
    }
    assert_eq!(load("a", "more.gguf").await.refused(409, "invalid_request_error")["code"], "exists");
    load("a:b", "more.gguf").await.refused_for("name");
    assert_eq!(load("more", "more.gguf").await.ok()["state"], "ready");
    assert_eq!(
        content(&gateway.http().chat(&ask("more", "Hi")).await),
        content(&gateway.http().chat(&ask("a", "Hi")).await)
    );
    act(&gateway, "none", "load").await.refused(404, "not_found_error");
    let audit = gateway.http().get("/admin/v1/audit").await.ok().to_string();
    assert!(audit.contains("model.add"), "{audit}");
}

/// Runs a command on the gateway's data folder.
fn command(data: &Path, arguments: &[&str]) -> Output {
    let mut command = builder::command();
    command.args(arguments).arg("--data-dir").arg(data).output().expect("the command runs")
}

async fn said(gateway: &Gateway, arguments: &[&str]) -> (bool, String) {
    let (data, arguments) =
        (gateway.data().to_owned(), arguments.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>());
    let output = tokio::task::spawn_blocking(move || {
        command(&data, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    });
    let output = output.await.expect("the command ends");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn the_command_line_does_the_same_to_the_running_gateway() {
    let gateway = several(0, &[("a", ""), ("b", ON_DEMAND)]).start().await;
    for (arguments, expected) in [
        (&["model", "status"][..], "unloaded"),
        (&["model", "load", "b"], "b ready"),
        (&["model", "pin", "b"], "pinned"),
        (&["model", "unpin", "b"], "b ready"),
        (&["model", "unload", "b", "--wait"], "b unloaded"),
        (&["model", "alias", "chat", "a"], "chat -> a"),
        (&["model", "alias", "chat", "b"], "chat -> b"),
    ] {
        let (well, text) = said(&gateway, arguments).await;
        assert!(well && text.contains(expected), "{arguments:?}: {text}");
    }
    let answer = gateway.http().post(CHAT, &ask("chat", "Hi")).await;
    content(&answer.ok());
    assert_eq!(answer.header("x-sluice-target"), "b");
    let (well, text) = said(&gateway, &["model", "status"]).await;
    assert!(well && text.contains("chat -> b"), "{text}");
    let (well, text) = said(&gateway, &["model", "load", "none"]).await;
    assert!(!well && text.contains("no model of this machine"), "{text}");
    let idle = tempfile::tempdir().expect("a folder");
    let output = command(idle.path(), &["model", "status"]);
    assert_eq!(output.status.code(), Some(1));
}
