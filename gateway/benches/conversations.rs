//! What memory adds to a request: its context loaded and its turn kept, 500 requests a second, each at its time
//! whatever became of those before; and what a conversation of 20 turns takes in Redis.
//!
//! `cargo bench -p gateway --bench conversations`; with `CONVERSATIONS_REDIS=redis://…` also with Redis, which should
//! hold nothing else, and with `CONVERSATIONS_COUNT=100000` as many conversations for the memory.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement fails by panicking, prints its result, and has its environment for a configuration"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::clock::Clock;
use gateway::conversation::events::memory::MemoryLog;
use gateway::conversation::store::embedded::EmbeddedConversations;
use gateway::conversation::store::redis::RedisConversations;
use gateway::conversation::store::{ConversationStore, Retention};
use gateway::conversation::{Conversations, Link, NewTurn, Seal, ids, item};
use gateway::redis_link::RedisLink;
use openapi::conversations::Metadata;
use openapi::message::{Content, Message, Role};
use openapi::responses::Item;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const RATE: u32 = 500;
const SECONDS: u32 = 20;
const TURNS: usize = 20;
const RETENTION: Retention = Retention { keep_for: Duration::from_hours(1), most_items: 100_000 };

fn said(role: Role, length: usize) -> Vec<Item> {
    item::items(&Message {
        role,
        content: Some(Content::Text("word ".repeat(length / 5))),
        name: None,
        tool_calls: None,
        tool_call_id: None,
        refusal: None,
        reasoning_content: None,
    })
}

/// Loads what a conversation holds and keeps one turn more, as a request does around its answer.
async fn turn(kept: &Conversations, owner: &str, id: &str) {
    let link = Link::Conversation(id.to_owned());
    let context = kept.context(owner, &link).await.unwrap();
    let answer = ids::fresh("chatcmpl");
    let mut output = said(Role::Assistant, 300);
    for (place, item) in output.iter_mut().enumerate() {
        item.set_id(ids::of_item("msg", &answer, place));
    }
    let (head, input) = (context.head, said(Role::User, 100));
    kept.keep(owner, NewTurn { id: answer, link, head, input, output, response: None }).await.unwrap();
}

fn conversations(store: Arc<dyn ConversationStore>) -> Arc<Conversations> {
    let events = Arc::new(MemoryLog::new(Clock::System));
    Arc::new(Conversations::new(store, events, Seal::default(), Clock::System, true))
}

/// Requests at their times, over conversations of up to 20 turns.
fn latency(name: &str, runtime: &Runtime, kept: &Arc<Conversations>) {
    let times = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        let mut ids = Vec::new();
        let began = Instant::now();
        for number in 0..RATE * SECONDS {
            let at = began + Duration::from_secs(1) / RATE * number;
            tokio::time::sleep_until(at.into()).await;
            // A conversation is gone on from when its turn before is long done.
            let place = number as usize % (RATE as usize);
            if (number as usize / RATE as usize).is_multiple_of(TURNS) {
                let made = kept.create("bench", Vec::new(), &Metadata::default()).await.unwrap().id;
                if let Some(id) = ids.get_mut(place) { *id = made } else { ids.push(made) }
            }
            let (kept, id) = (Arc::clone(kept), ids.get(place).cloned().unwrap());
            tasks.spawn(async move {
                turn(&kept, "bench", &id).await;
                at.elapsed()
            });
        }
        tasks.join_all().await
    });
    let mut times = times;
    times.sort_unstable();
    let at = |share: usize| {
        times.get((times.len() - 1) * share / 1_000).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    println!(
        "{name:<10} {RATE}/s: p50 {:.2} ms  p95 {:.2} ms  p99 {:.2} ms  p99.9 {:.2} ms",
        at(500),
        at(950),
        at(990),
        at(999)
    );
}

/// Bytes that Redis uses.
async fn used(link: &RedisLink) -> u64 {
    let info: String = link.query(redis::cmd("INFO").arg("memory")).await.unwrap();
    let bytes = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    bytes.trim().parse().unwrap()
}

fn memory(runtime: &Runtime, link: &RedisLink, kept: &Arc<Conversations>, count: u32) {
    runtime.block_on(async {
        let before = used(link).await;
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let kept = Arc::clone(kept);
            tasks.spawn(async move {
                let owner = format!("user-{}", number % 1_000);
                let id = kept.create(&owner, Vec::new(), &Metadata::default()).await.unwrap().id;
                for _ in 0..TURNS {
                    turn(&kept, &owner, &id).await;
                }
            });
            if tasks.len() >= 8 {
                tasks.join_next().await;
            }
        }
        while tasks.join_next().await.is_some() {}
        let each = (used(link).await - before) / u64::from(count);
        println!("{count} conversations of {TURNS} turns (100 + 300 bytes): {each} bytes each in Redis");
    });
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conversations.redb");
    let store = EmbeddedConversations::open(&path, RETENTION, Clock::System).unwrap();
    latency("embedded", &runtime, &conversations(Arc::new(store)));
    let Ok(url) = std::env::var("CONVERSATIONS_REDIS") else { return };
    let count = std::env::var("CONVERSATIONS_COUNT").map_or(2_000, |count| count.parse().unwrap());
    let link = runtime.block_on(async { RedisLink::new(&url, None).unwrap() });
    let kept = conversations(Arc::new(RedisConversations::new(link.clone(), RETENTION)));
    latency("redis", &runtime, &kept);
    memory(&runtime, &link, &kept, count);
}
