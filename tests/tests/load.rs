//! Limits under load: many clients at two gateways that share a Redis, and not one token more than was granted.
//!
//! `SLUICE_LOAD_SECONDS=58 cargo nextest run --release -p tests --test load` is the long run.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tests::http::Http;
use tests::patience::variable;
use tests::redis::Redis;
use tests::{Answer, Gateway, eventually};

const CHAT: &str = "/v1/chat/completions";
const CLIENTS: usize = 64;

/// For how long new requests are begun: less than a minute, so that everything counts in one window.
fn duration() -> Duration {
    let seconds = variable("SLUICE_LOAD_SECONDS").and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(6).min(58))
}

/// Two gateways on one Redis, and a subject whose role is limited.
struct Fleet {
    redis: Redis,
    gateways: [Gateway; 2],
    secret: String,
}

impl Fleet {
    async fn start(policy: &Value) -> Self {
        let redis = Redis::start().await;
        let gateway = || redis.gateway().parallel(8).queue(256);
        let one = gateway().start().await;
        let two = gateway().beside(&one).start().await;
        let role = json!({"name": "limited", "policy": policy});
        one.http().post("/admin/v1/roles", &role).await.ok();
        let key = json!({"subject": "team", "role": "limited"});
        let made = one.http().post("/admin/v1/keys", &key).await.ok();
        let secret = made["secret"].as_str().expect("a secret").to_owned();
        // The last change of all; who shows it knows the key, and has nothing left to look up.
        let last = one.http().request(Method::PATCH, "/admin/v1/roles/limited").header("if-match", "*");
        let last = last.header("content-type", "application/json");
        last.body(json!({"policy": {"output_cap": 400}}).to_string()).send().await.ok();
        for gateway in [&one, &two] {
            let known = Http::new(gateway.address(), &secret);
            let shows = async || {
                let answer = known.get("/admin/v1/whoami").await;
                answer.status == 200 && answer.json()["policy"]["output_cap"] == 400
            };
            eventually!(shows().await, "the key and its role are known everywhere");
        }
        Self { redis, gateways: [one, two], secret }
    }

    /// One client's requests, one after the other: every other one streamed, some left early.
    async fn client(&self, index: usize, until: Instant) -> Vec<Outcome> {
        let gateway = &self.gateways[index % 2];
        let http = Http::new(gateway.address(), &self.secret);
        let mut outcomes = Vec::new();
        while Instant::now() < until {
            let mut request = gateway.ask("Say a word.");
            request["max_tokens"] = json!(1 + index % 7);
            let streamed = index % 2 == 1;
            request["stream"] = json!(streamed);
            if streamed {
                request["stream_options"] = json!({"include_usage": true});
            }
            let begun = Instant::now();
            let answer = http.json(CHAT).body(request.to_string()).send().await;
            outcomes.push(Outcome {
                status: answer.status,
                tokens: tokens(&answer, streamed),
                took: begun.elapsed(),
            });
            if answer.status == 429 {
                // Not a wait to be right: it keeps the refused from spending the run on being refused.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        outcomes
    }

    async fn run(&self) -> Vec<Outcome> {
        let until = Instant::now() + duration();
        let all = join_all((0..CLIENTS).map(|index| self.client(index, until))).await;
        all.into_iter().flatten().collect()
    }
}

struct Outcome {
    status: u16,
    tokens: u64,
    took: Duration,
}

fn tokens(answer: &Answer, streamed: bool) -> u64 {
    if answer.status != 200 {
        return 0;
    }
    let usage = if streamed {
        let text = answer.text();
        let line = text.lines().rfind(|line| line.contains("\"total_tokens\"")).expect("a usage");
        serde_json::from_str(line.trim_start_matches("data: ")).expect("JSON")
    } else {
        answer.json()
    };
    usage["usage"]["total_tokens"].as_u64().expect("a total")
}

fn passed(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| outcome.status == 200).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_clients_at_two_gateways_spend_no_token_more_than_the_limit() {
    let fleet = Fleet::start(&json!({"permissions": ["chat"], "tokens_per_minute": 1000})).await;
    let outcomes = fleet.run().await;
    let spent: u64 = outcomes.iter().map(|outcome| outcome.tokens).sum();
    assert!(spent <= 1000, "{spent} tokens were spent");
    assert!(spent > 900, "what is left must be less than a request takes, not {}", 1000 - spent);
    assert!(outcomes.iter().all(|outcome| matches!(outcome.status, 200 | 429)), "nothing else is answered");
    let told = async || {
        let list = fleet.gateways[0].http().get("/admin/v1/usage?subject=team").await.ok();
        let row = &list["data"][0];
        row["prompt_tokens"].as_u64().unwrap_or(0) + row["completion_tokens"].as_u64().unwrap_or(0)
    };
    eventually!(told().await == spent, "the usage of both is what their answers said");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_clients_at_two_gateways_get_no_request_more_than_the_limit() {
    let fleet = Fleet::start(&json!({"permissions": ["chat"], "requests_per_minute": 50})).await;
    assert_eq!(passed(&fleet.run().await), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_clients_at_two_gateways_never_run_more_at_once_than_the_limit() {
    let fleet = Fleet::start(&json!({"permissions": ["chat"], "concurrency": 3})).await;
    let clients: Vec<Http> =
        fleet.gateways.iter().map(|gateway| Http::new(gateway.address(), &fleet.secret)).collect();
    // Answers that go on for longer than all of them take to ask.
    let endless = fleet.gateways[0].endless("Count.", 400);
    let ask = |index: usize| clients[index % 2].try_stream(CHAT, &endless);
    let (running, refused): (Vec<_>, Vec<_>) =
        join_all((0..CLIENTS).map(ask)).await.into_iter().partition(Result::is_ok);
    assert_eq!(running.len(), 3);
    for answer in refused.into_iter().filter_map(Result::err) {
        answer.refused(429, "rate_limit_error");
    }
    drop(running);
    eventually!(ask(0).await.is_ok() && ask(1).await.is_ok(), "places come back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_killed_under_load_costs_no_answer_and_holds_nobody_up() {
    let mut fleet = Fleet::start(&json!({"permissions": ["chat"], "tokens_per_minute": 1_000_000})).await;
    let until = Instant::now() + duration();
    // A caller is known to a gateway once it was let in there; before, it would have to be looked up.
    for gateway in &fleet.gateways {
        Http::new(gateway.address(), &fleet.secret).chat(&gateway.ask("Hi")).await;
    }
    fleet.redis.signal("-STOP");
    let frozen = join_all((0..CLIENTS).map(|index| fleet.client(index, until))).await;
    fleet.redis.signal("-CONT");
    let slowest = frozen.iter().flatten().map(|outcome| outcome.took).max().expect("requests");
    assert!(
        frozen.iter().flatten().all(|outcome| outcome.status == 200),
        "no answer is lost while it is frozen"
    );
    assert!(slowest < Duration::from_mins(1), "{slowest:?}");
    fleet.redis.signal("-KILL");
    let until = Instant::now() + duration();
    let gone = join_all((0..CLIENTS).map(|index| fleet.client(index, until))).await;
    assert!(gone.iter().flatten().all(|outcome| outcome.status == 200), "nor while it is gone");
    fleet.redis.restart().await;
}
