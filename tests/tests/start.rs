//! What an operator sees at the start: keys, files, configuration, and models that cannot be loaded.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use tempfile::TempDir;
use tests::{Builder, Gateway, builder, model};

/// Runs the binary with a data folder of its own.
fn run(arguments: &[&str]) -> Output {
    let data = TempDir::new().expect("a temporary folder can be made");
    run_in(&data, arguments)
}

fn run_in(data: &TempDir, arguments: &[&str]) -> Output {
    let mut command = builder::command();
    command.args(arguments).env("GATEWAY_DATA_DIR", data.path());
    command.output().expect("the gateway starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Starting with this model must fail with exit code 1 and one clear sentence.
async fn refuses_model(builder: Builder, path: std::path::PathBuf) {
    let name = path.file_name().expect("a file name").to_string_lossy().into_owned();
    let failure = builder.model(path).try_start().await.expect_err("a broken model must not be served");
    assert_eq!(failure.code, Some(1), "{}", failure.log);
    assert!(failure.log.contains(&name), "the log names the file:\n{}", failure.log);
    assert!(!failure.log.contains("panicked"), "{}", failure.log);
}

#[tokio::test]
async fn the_first_start_makes_one_key_and_the_second_keeps_it() {
    let mut first = Gateway::builder().parallel(1).context(256).start().await;
    let key_file = first.data().join("admin.key");
    let mode = std::fs::metadata(&key_file).expect("the key file exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only its owner may read the key");
    let key = std::fs::read_to_string(&key_file).expect("the key can be read");
    assert!(key.trim().starts_with("sk-"), "a key that looks like one");
    assert!(key.trim().len() > 40, "256 random bits do not fit into {} characters", key.trim().len());
    assert!(!first.log().contains(key.trim()), "what collects a service's output keeps no key");
    assert!(first.log().contains("admin.key"), "but it says where the key is");
    first.terminate();
    assert_eq!(first.exited().await, Some(0));

    let second = Gateway::builder().parallel(1).context(256).after(&first).start().await;
    assert_eq!(std::fs::read_to_string(&key_file).expect("the key can be read"), key, "the key is kept");
    assert!(!second.log().contains(key.trim()), "nor later");
}

#[tokio::test]
async fn the_address_in_use_is_logged_and_written_to_a_file() {
    let gateway = Gateway::builder().parallel(1).context(256).start().await;
    let address = gateway.address().to_string();
    assert_ne!(gateway.address().port(), 0);
    let log = gateway.log();
    assert!(log.contains("listening") && log.contains(&address), "{log}");
}

#[tokio::test]
async fn a_truncated_model_is_a_clear_error() {
    for bytes in [0, 3, 100, 100_000, 50_000_000] {
        let builder = Gateway::builder();
        let path = model::truncated(builder.data(), bytes);
        refuses_model(builder, path).await;
    }
}

#[tokio::test]
async fn a_corrupt_model_is_a_clear_error() {
    // The magic, the version, the number of tensors, the number of metadata entries, the first key's length.
    for (offset, bytes) in
        [(0, b"GGML".as_slice()), (4, &[0xff; 4]), (8, &[0xff; 8]), (16, &[0xff; 8]), (24, &[0xff; 8])]
    {
        let builder = Gateway::builder();
        let path = model::corrupt(builder.data(), offset, bytes);
        refuses_model(builder, path).await;
    }
}

#[tokio::test]
async fn a_file_that_is_no_model_or_missing_is_a_clear_error() {
    let builder = Gateway::builder();
    let path = builder.data().join("notes.txt");
    std::fs::write(&path, "this is not a model".repeat(1000)).expect("the file can be written");
    refuses_model(builder, path).await;
    let builder = Gateway::builder();
    let path = builder.data().join("absent.gguf");
    refuses_model(builder, path).await;
}

#[test]
fn wrong_usage_exits_with_two() {
    for arguments in
        [&["no-such-command"][..], &["serve", "--no-such-flag"], &["serve", "--parallel", "many"], &[]]
    {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn help_shows_every_option_with_its_variable_and_default() {
    let output = run(&["serve", "--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output.stdout);
    for word in ["--listen", "GATEWAY_LISTEN", "127.0.0.1:8080", "--parallel", "GATEWAY_MODEL", "--kv-layout"]
    {
        assert!(help.contains(word), "no {word} in\n{help}");
    }
}

#[test]
fn config_check_names_the_file_and_the_key_that_is_wrong() {
    let data = TempDir::new().expect("a temporary folder can be made");
    let file = data.path().join("gateway.toml");
    let config = file.display().to_string();
    std::fs::write(&file, format!("[[models]]\npath = {:?}\nparallel = 8\n", model::path()))
        .expect("written");
    let output = run_in(&data, &["config", "check", "--config", &config]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for (content, key) in [
        ("[server]\nlisten = 12\n", "listen"),
        ("[server]\nlissten = \"127.0.0.1:0\"\n", "lissten"),
        ("[[models]]\npath = \"m.gguf\"\nparallel = 0\n", "parallel"),
    ] {
        std::fs::write(&file, content).expect("written");
        let output = run_in(&data, &["config", "check", "--config", &config]);
        assert_eq!(output.status.code(), Some(1), "{content}");
        let message = text(&output.stderr);
        assert!(message.contains("gateway.toml") && message.contains(key), "{message}");
    }
}

#[test]
fn config_print_shows_what_is_in_force_by_precedence() {
    let data = TempDir::new().expect("a temporary folder can be made");
    let file = data.path().join("gateway.toml");
    std::fs::write(&file, "[server]\nmax_connections = 11\nmax_headers = 12\n").expect("written");
    let mut command = builder::command();
    command
        .args(["config", "print", "--config", &file.display().to_string(), "--max-headers", "44"])
        .env("GATEWAY_DATA_DIR", data.path())
        .env("GATEWAY_MODEL", model::path())
        .env("GATEWAY_MAX_HEADERS", "33")
        .env("GATEWAY_MAX_BODY_BYTES", "22222");
    let output = command.output().expect("the gateway starts");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    for line in ["max_connections = 11", "max_headers = 44", "max_body_bytes = 22222"] {
        assert!(printed.contains(line), "no `{line}` in\n{printed}");
    }
}

#[test]
fn a_local_model_is_pulled_listed_and_has_its_checksum_shown() {
    let data = TempDir::new().expect("a temporary folder can be made");
    let output = run_in(&data, &["model", "pull", &model::path().display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    let output = run_in(&data, &["model", "list"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("SmolLM2-135M-Instruct.Q4_1"), "{}", text(&output.stdout));
    let output = run_in(&data, &["model", "pull", "/no/such/file.gguf"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}

#[test]
fn the_document_is_printed_without_a_model() {
    let output = run(&["openapi"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(document["paths"]["/v1/chat/completions"]["post"].is_object());
}
