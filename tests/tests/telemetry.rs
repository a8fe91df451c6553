//! What is shown outside is what happened: metrics of real gateways, pushed to a real exporter, kept by a real Prometheus.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::float_cmp,
    clippy::panic,
    reason = "a test fails by panicking; counts are whole"
)]

use http::Method;
use serde_json::json;
use tests::exporter::Exporter;
use tests::http::Http;
use tests::metrics::Metrics;
use tests::prometheus::Prometheus;
use tests::{Gateway, eventually};

const CHAT: [(&str, &str); 2] = [("route", "create_chat_completion"), ("method", "POST")];

/// What the gateway itself says, to who may read it.
async fn own(gateway: &Gateway) -> Metrics {
    let answer = gateway.http().get("/metrics").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4");
    Metrics::read(&answer.text())
}

async fn chat(gateway: &Gateway) {
    let mut body = gateway.ask("Say one word.");
    body["max_tokens"] = json!(4);
    gateway.http().chat(&body).await;
}

#[tokio::test]
async fn what_clients_saw_is_what_is_counted() {
    let gateway = Gateway::start().await;
    let mut body = gateway.ask("Count to three.");
    body["max_tokens"] = json!(8);
    let answer = gateway.http().chat(&body).await;
    let folded = gateway.http().chat_stream(&body).await;
    gateway.http().post("/v1/chat/completions", &json!({"model": "nope", "messages": []})).await;
    gateway.http().get("/v1/nowhere/at/all").await;
    let stranger = Http::new(gateway.address(), "sk-wrong");
    stranger.get("/v1/models").await;
    gateway.http().anonymous(Method::GET, "/v1/models").send().await;

    eventually!(own(&gateway).await.count("model_finish_total", &[]) == 2.0, "both answers are settled");
    let seen = own(&gateway).await;
    let status = |status| [CHAT[0], CHAT[1], ("status", status)];
    assert_eq!(seen.count("http_requests_total", &status("200")), 2.0);
    assert_eq!(
        seen.count("http_requests_total", &status("400")) + seen.count("http_requests_total", &status("404")),
        1.0
    );
    assert_eq!(seen.count("http_requests_total", &[("route", "other"), ("status", "404")]), 1.0);
    assert_eq!(seen.count("http_requests_in_flight", &[("route", CHAT[0].1)]), 0.0);
    assert_eq!(seen.count("http_request_duration_seconds_count", &CHAT), 3.0);
    assert_eq!(seen.count("auth_failures_total", &[("reason", "unknown")]), 1.0);
    assert_eq!(seen.count("auth_failures_total", &[("reason", "missing")]), 1.0);
    let model = ("model", gateway.model());
    let generated = answer["usage"]["completion_tokens"].as_f64().expect("a count") * 2.0;
    assert_eq!(seen.count("model_tokens_total", &[model, ("kind", "generated")]), generated);
    assert!(folded.done);
    assert_eq!(seen.count("model_time_to_first_token_seconds_count", &[model]), 2.0);
    assert!(seen.count("model_inter_token_seconds_count", &[model]) >= generated / 2.0 - 1.0);
    assert_eq!(seen.count("model_request_duration_seconds_count", &[model]), 2.0);
    assert_eq!(seen.count("model_loaded", &[model]), 1.0);
    assert!(seen.count("model_batch_tokens_count", &[model]) > 2.0);
    assert!(seen.count("store_operation_seconds_count", &[("store", "auth")]) > 0.0);
    assert!(seen.count("process_resident_memory_bytes", &[]) > 1e6);
}

#[tokio::test]
async fn who_is_over_a_limit_and_how_far_a_budget_is_spent_is_told_by_role() {
    let gateway = Gateway::start().await;
    let policy = json!({"permissions": ["chat"], "models": ["*"], "requests_per_minute": 2, "tokens_per_day": 100_000});
    gateway.http().post("/admin/v1/roles", &json!({"name": "small", "policy": policy})).await.ok();
    gateway.http().post("/admin/v1/subjects", &json!({"id": "bob", "role": "small"})).await.ok();
    let made = gateway.http().post("/admin/v1/keys", &json!({"subject": "bob"})).await.ok();
    let bob = Http::new(gateway.address(), made["secret"].as_str().expect("a secret"));
    for _ in 0..2 {
        bob.chat(&gateway.ask("Hi")).await;
    }
    bob.post("/v1/chat/completions", &gateway.ask("Hi")).await.refused(429, "rate_limit_error");
    let seen = own(&gateway).await;
    assert_eq!(seen.count("admission_refused_total", &[("role", "small"), ("reason", "requests")]), 1.0);
    let used = seen.count("admission_budget_used_ratio", &[("role", "small")]);
    assert!(used > 0.0 && used < 1.0, "{used}");
}

#[tokio::test]
async fn both_ways_to_the_metrics_show_the_same() {
    let exporter = Exporter::start().await;
    let gateway = exporter.small_gateway("one").await;
    chat(&gateway).await;
    let ended = |metrics: &Metrics| metrics.count("model_finish_total", &[("instance", "one")]) == 1.0;
    eventually!(ended(&exporter.metrics().await), "the answer is pushed");
    let (pushed, own) = (exporter.metrics().await.of("instance", "one"), own(&gateway).await);
    let mut theirs = pushed.without("instance");
    // What the exporter says of an instance carries its name too.
    theirs.retain(|(name, _)| !name.starts_with("exporter_"));
    let mut ours = own.without("instance");
    // The look at the gateway's own metrics is a request of its own.
    ours.retain(|(_, labels)| labels.get("route").is_none_or(|route| route != "read_metrics"));
    theirs.retain(|(_, labels)| labels.get("route").is_none_or(|route| route != "read_metrics"));
    let odd: Vec<_> = ours.symmetric_difference(&theirs).collect();
    assert!(odd.is_empty(), "{odd:?}");
    for name in ["model_tokens_total", "model_time_to_first_token_seconds_sum", "model_finish_total"] {
        assert_eq!(own.count(name, &[]), pushed.count(name, &[]), "{name}");
    }
}

#[tokio::test]
async fn a_gateway_that_ends_has_told_everything_and_then_leaves() {
    let exporter = Exporter::start().await;
    let mut gateway = exporter.small_gateway("one").await;
    for _ in 0..3 {
        chat(&gateway).await;
    }
    gateway.terminate();
    assert_eq!(gateway.exited().await, Some(0));
    let last = exporter.metrics().await;
    assert_eq!(last.count("model_finish_total", &[("instance", "one")]), 3.0);
    eventually!(
        exporter.metrics().await.sum("model_finish_total", &[("instance", "one")]).is_none(),
        "its series leave"
    );
    eventually!(
        exporter.metrics().await.sum("exporter_instance_up", &[("instance", "one")]).is_none(),
        "who meant to end is not remembered as down"
    );
}

#[tokio::test]
async fn a_gateway_that_was_killed_is_remembered_as_down() {
    let exporter = Exporter::start().await;
    let mut gateway = exporter.small_gateway("one").await;
    let up = [("instance", "one")];
    eventually!(exporter.metrics().await.sum("exporter_instance_up", &up) == Some(1.0), "it is up");
    gateway.kill().await;
    eventually!(exporter.metrics().await.sum("exporter_instance_up", &up) == Some(0.0), "it is down");
    assert!(exporter.metrics().await.sum("http_requests_in_flight", &up).is_none(), "its series have left");
}

#[tokio::test]
async fn a_wrong_secret_or_no_exporter_disturbs_nobody() {
    let exporter = Exporter::start().await;
    let builder = exporter.gateway(Gateway::builder().parallel(2).context(512), "one");
    let wrong = tempfile_with("another-secret");
    let gateway = builder.set("GATEWAY_EXPORTER_SECRET", wrong.display()).start().await;
    chat(&gateway).await;
    eventually!(
        own(&gateway).await.count("push_snapshots_total", &[("outcome", "refused")]) > 0.0,
        "it is told"
    );
    assert!(exporter.metrics().await.count("exporter_rejected_total", &[("reason", "auth")]) > 0.0);
    let away = Gateway::builder().parallel(2).context(512).set("GATEWAY_EXPORTER_URL", "http://127.0.0.1:1");
    let away = away.set("GATEWAY_PUSH_INTERVAL", "100ms").start().await;
    chat(&away).await;
    eventually!(own(&away).await.count("push_snapshots_total", &[("outcome", "failed")]) > 1.0, "it is told");
    let lines = away.log().matches("metrics are not pushed").count();
    assert_eq!(lines, 1, "one line a change:\n{}", away.log());
}

fn tempfile_with(text: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("sluice-{}-{text}", std::process::id()));
    std::fs::write(&path, text).expect("the file is written");
    path
}

#[tokio::test]
async fn increase_is_what_clients_counted_whatever_was_killed() {
    let mut exporter = Exporter::start().await;
    let prometheus = Prometheus::of(&exporter).await;
    let mut one = exporter.small_gateway("one").await;
    let two = exporter.small_gateway("two").await;
    // A counter's first value is no increase: Prometheus must have seen both before they are counted.
    chat(&one).await;
    chat(&two).await;
    let seen = "count(sum by (instance) (model_finish_total) == 1) == 2";
    eventually!(prometheus.value(seen).await.is_some(), "Prometheus has seen both");
    let mut counted = 0.0;
    for round in 0..12 {
        chat(&one).await;
        chat(&two).await;
        counted += 2.0;
        match round {
            2 => exporter.kill(),
            5 => exporter.restart().await,
            8 => {
                // What was not pushed yet is lost with it, a second of work at most; what was pushed is shown once
                // before the next life is, whether or not it was scraped meanwhile.
                pushed(&one).await;
                one.kill().await;
                let again = exporter.gateway(Gateway::builder().parallel(2).context(512), "one");
                one = again.after(&one).start().await;
            }
            _ => {}
        }
    }
    // Nobody but Prometheus scrapes: what was shown to another would not be shown to it again.
    for (instance, answers) in [("two", counted / 2.0 + 1.0), ("one", 3.0)] {
        let seen = format!("sum(model_finish_total{{instance=\"{instance}\"}})");
        eventually!(prometheus.value(&seen).await == Some(answers), "Prometheus has seen all of {instance}");
    }
    let total = whole_increase(&prometheus).await;
    assert_eq!(total, counted);
}

/// All that a gateway counts now is pushed: the push after the next began later.
async fn pushed(gateway: &Gateway) {
    let sent = [("outcome", "sent")];
    let before = own(gateway).await.count("push_snapshots_total", &sent);
    eventually!(own(gateway).await.count("push_snapshots_total", &sent) >= before + 2.0, "it is pushed");
}

/// The exporter has been told of so many answers of a gateway.
async fn told(exporter: &Exporter, instance: &str, answers: f64) {
    let labels = [("instance", instance)];
    eventually!(
        exporter.metrics().await.count("model_finish_total", &labels) >= answers,
        "{answers} answers of {instance} are pushed"
    );
}

/// The increase of all answers since each series' first value, resets accounted for, without the extrapolation to the
/// ends of a window by which `increase` estimates.
async fn whole_increase(prometheus: &Prometheus) -> f64 {
    let answer = prometheus.query("model_finish_total[10m]").await;
    let mut total = 0.0;
    for series in answer["data"]["result"].as_array().expect("series") {
        let values: Vec<f64> = series["values"]
            .as_array()
            .expect("values")
            .iter()
            .map(|pair| pair[1].as_str().expect("text").parse().expect("a number"))
            .collect();
        for pair in values.windows(2) {
            total += if pair[1] < pair[0] { pair[1] } else { pair[1] - pair[0] };
        }
    }
    total
}

#[tokio::test]
async fn what_is_logged_changes_as_it_runs() {
    let gateway = Gateway::builder().parallel(2).context(512).set("GATEWAY_LOG", "info").start().await;
    let refused = || async { gateway.http().get("/v1/models/nope").await.refused(404, "not_found_error") };
    refused().await;
    assert!(!gateway.log().contains("request refused"), "{}", gateway.log());
    let put = |filter: &str| {
        let call =
            gateway.http().request(Method::PUT, "/admin/v1/log").header("content-type", "application/json");
        call.body(json!({"filter": filter}).to_string()).send()
    };
    assert_eq!(put("info,gateway=debug").await.ok(), json!({"filter": "info,gateway=debug"}));
    refused().await;
    eventually!(gateway.log().contains("request refused"), "debug lines are written");
    assert_eq!(gateway.http().get("/admin/v1/log").await.ok(), json!({"filter": "info,gateway=debug"}));
    put("gateway=loud").await.refused(400, "invalid_request_error");
    let audit = gateway.http().get("/admin/v1/audit").await.ok();
    assert_eq!(audit["data"][0]["action"], "log.update", "{audit}");
}

#[tokio::test]
async fn a_flood_of_paths_methods_and_models_makes_no_series() {
    let gateway = Gateway::builder().parallel(2).context(512).start().await;
    gateway.http().get("/warm").await;
    let before = own(&gateway).await.len();
    for number in 0..200 {
        gateway.http().get(&format!("/flood/{number}?x={number}")).await;
        gateway.http().get(&format!("/v1/models/m{number}")).await;
        let body = json!({"model": format!("m{number}"), "messages": [{"role": "user", "content": "Hi"}]});
        gateway.http().post("/v1/chat/completions", &body).await;
        let method = Method::from_bytes(format!("M{number}").as_bytes()).expect("a method");
        gateway.http().request(method, "/v1/models").send().await;
    }
    let after = own(&gateway).await.len();
    // The routes' first statuses, reasons and bucketless counters; nothing that grows with the flood.
    assert!(after - before < 120, "{before} became {after}");
}

/// What `prometheus/metrics.txt` promises to rules and dashboards: names with their types and labels.
fn promised() -> Vec<(String, String, Vec<String>)> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../prometheus/metrics.txt");
    let text = std::fs::read_to_string(path).expect("the list is there");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let [name, kind, labels] = line.split_whitespace().collect::<Vec<&str>>()[..] else {
                panic!("no name, type and labels: {line}")
            };
            let labels = labels.split(',').filter(|label| *label != "-");
            (name.to_owned(), kind.to_owned(), labels.map(str::to_owned).collect())
        })
        .collect()
}

#[tokio::test]
async fn every_metric_that_rules_rely_on_is_as_they_think() {
    let exporter = Exporter::start().await;
    let gateway = exporter.small_gateway("one").await;
    chat(&gateway).await;
    gateway.http().get("/v1/nowhere").await;
    gateway.http().anonymous(Method::GET, "/v1/models").send().await;
    told(&exporter, "one", 1.0).await;
    let answer = Http::new(exporter.address(), "").get("/metrics").await;
    let text = answer.text();
    let metrics = Metrics::read(&text);
    // What only happens elsewhere: with upstreams, limits, failures of stores, or records.
    let elsewhere =
        ["upstream_", "admission_", "store_errors_total", "exporter_records_", "exporter_rejected_total"];
    for (name, kind, labels) in promised() {
        if elsewhere.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name} is no {kind}");
        let series = if kind == "histogram" { format!("{name}_count") } else { name.clone() };
        let mut had: Vec<String> = metrics.labels(&series);
        had.retain(|label| label != "instance" || labels.contains(label));
        let mut wanted = labels.clone();
        wanted.sort();
        assert_eq!(had, wanted, "labels of {name}");
    }
}

#[tokio::test]
async fn every_call_of_a_model_leaves_a_record_with_its_trace_and_no_word_of_it() {
    let exporter = Exporter::start().await;
    let mut gateway = exporter.small_gateway("one").await;
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut ask = gateway.ask("Xylophone.");
    ask["max_tokens"] = json!(3);
    let call = gateway.http().json("/v1/chat/completions").header("traceparent", traceparent);
    call.body(ask.to_string()).send().await.ok();
    gateway.http().chat_stream(&ask).await;
    ask["model"] = json!("nope");
    gateway.http().post("/v1/chat/completions", &ask).await.refused(404, "not_found_error");
    gateway.terminate();
    assert_eq!(gateway.exited().await, Some(0));
    eventually!(exporter.records().len() == 3, "the last records came with the gateway's end");
    let mut records = exporter.records();
    // They come in the order in which calls ended, and a stream's may be told after a later, shorter one.
    records.sort_by_key(|record| record["time"].to_string());
    let text = serde_json::to_string(&records).expect("JSON");
    assert!(!text.contains("Xylophone"), "{text}");
    let traced = &records[0];
    assert_eq!(traced["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736", "{traced}");
    assert_eq!(traced["parent_span_id"], "00f067aa0ba902b7", "{traced}");
    assert_eq!(traced["completion_tokens"], 3, "{traced}");
    assert_eq!((&traced["kept"], &traced["weight"]), (&json!("sampled"), &json!(1.0)), "{traced}");
    assert_eq!(records[1]["stream"], true, "{text}");
    assert_eq!((&records[2]["status"], &records[2]["kept"]), (&json!(404), &json!("error")), "{text}");
    let seen = exporter.metrics().await;
    assert_eq!(seen.count("records_total", &[("instance", "one"), ("outcome", "sent")]), 3.0);
    assert_eq!(seen.count("exporter_records_total", &[("sink", "ndjson"), ("outcome", "delivered")]), 3.0);
}
