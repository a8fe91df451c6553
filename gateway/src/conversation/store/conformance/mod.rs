//! What every store does, whatever it is made of: each case is run on a file, in memory and on a real Redis.

mod model;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

use super::embedded::EmbeddedConversations;
use super::redis::RedisConversations;
use super::{Append, Conversation, ConversationStore, Entry, Kept, Kind, Listed, Response, Retention, Turn};
use crate::clock::Clock;
use crate::redis_link::test_cluster::Cluster;
use crate::redis_link::test_server::Server;

const RETENTION: Retention = Retention { keep_for: Duration::from_hours(1), most_items: 6 };

fn entry(id: &str, content: &str) -> Entry {
    Entry { id: id.to_owned(), content: Bytes::copy_from_slice(content.as_bytes()) }
}

fn conversation(id: &str) -> Conversation {
    Conversation { id: id.to_owned(), created_at: 7, head: 0, metadata: Bytes::from_static(b"notes") }
}

fn response(id: &str, previous: Option<&str>, finished: bool) -> Response {
    Response {
        id: id.to_owned(),
        created_at: 9,
        finished,
        previous: previous.map(str::to_owned),
        body: Bytes::from(format!("body of {id}")),
        input: Bytes::from(format!("input of {id}")),
    }
}

fn turn(id: &str, conversation: &str, head: u64, items: &[&str]) -> Turn {
    let items = items.iter().map(|item| entry(item, &format!("content of {item}"))).collect();
    Turn {
        id: id.to_owned(),
        append: Some(Append { conversation: conversation.to_owned(), head, items }),
        response: None,
    }
}

fn lone(response: Response) -> Turn {
    Turn { id: response.id.clone(), append: None, response: Some(response) }
}

async fn head(store: &dyn ConversationStore, owner: &str, id: &str) -> u64 {
    store.conversation(owner, id).await.unwrap().unwrap().head
}

async fn ids(store: &dyn ConversationStore, owner: &str, id: &str) -> Vec<String> {
    store.load(owner, id).await.unwrap().unwrap().1.into_iter().map(|item| item.id).collect()
}

async fn turns_are_added_in_order(store: &dyn ConversationStore) {
    store.create("a", &conversation("c1"), &[entry("i0", "zero")]).await.unwrap();
    let first = head(store, "a", "c1").await;
    assert_eq!(store.keep("a", &turn("t1", "c1", first, &["i1", "i2"])).await.unwrap(), Kept::Done);
    let second = head(store, "a", "c1").await;
    assert_ne!(first, second);
    assert_eq!(store.keep("a", &turn("t2", "c1", second, &["i3"])).await.unwrap(), Kept::Done);
    let (found, items) = store.load("a", "c1").await.unwrap().unwrap();
    assert_eq!((found.created_at, &*found.metadata), (7, b"notes".as_slice()));
    let expected = [
        entry("i0", "zero"),
        entry("i1", "content of i1"),
        entry("i2", "content of i2"),
        entry("i3", "content of i3"),
    ];
    assert_eq!(items, expected);
}

async fn a_turn_is_kept_once(store: &dyn ConversationStore) {
    store.create("a", &conversation("c2"), &[]).await.unwrap();
    let first = turn("t1", "c2", head(store, "a", "c2").await, &["i1"]);
    assert_eq!(store.keep("a", &first).await.unwrap(), Kept::Done);
    assert_eq!(store.keep("a", &first).await.unwrap(), Kept::Done);
    let second = turn("t2", "c2", head(store, "a", "c2").await, &["i2"]);
    assert_eq!(store.keep("a", &second).await.unwrap(), Kept::Done);
    assert_eq!(store.keep("a", &first).await.unwrap(), Kept::Done, "a late repeat is known too");
    assert_eq!(ids(store, "a", "c2").await, ["i1", "i2"]);
}

async fn of_two_turns_from_one_state_one_is_kept(store: &dyn ConversationStore) {
    store.create("a", &conversation("c3"), &[]).await.unwrap();
    let before = head(store, "a", "c3").await;
    assert_eq!(store.keep("a", &turn("t1", "c3", before, &["i1"])).await.unwrap(), Kept::Done);
    let now = head(store, "a", "c3").await;
    let late = Turn { response: Some(response("t2", None, true)), ..turn("t2", "c3", before, &["i2"]) };
    assert_eq!(store.keep("a", &late).await.unwrap(), Kept::Conflict { head: now });
    assert_eq!(ids(store, "a", "c3").await, ["i1"]);
    assert_eq!(store.response("a", "t2").await.unwrap(), None, "nothing of it is kept");
}

async fn a_full_conversation_takes_no_part_of_a_turn(store: &dyn ConversationStore) {
    store.create("a", &conversation("c4"), &[]).await.unwrap();
    let now = head(store, "a", "c4").await;
    store.keep("a", &turn("t1", "c4", now, &["1", "2", "3", "4", "5"])).await.unwrap();
    let now = head(store, "a", "c4").await;
    let over = Turn { response: Some(response("t2", None, true)), ..turn("t2", "c4", now, &["6", "7"]) };
    assert_eq!(store.keep("a", &over).await.unwrap(), Kept::Full);
    assert_eq!(store.response("a", "t2").await.unwrap(), None);
    assert_eq!(store.add_items("a", "c4", &[entry("6", ""), entry("7", "")]).await.unwrap(), Kept::Full);
    assert_eq!(store.keep("a", &turn("t3", "c4", now, &["6"])).await.unwrap(), Kept::Done);
}

async fn what_is_not_there_takes_nothing(store: &dyn ConversationStore) {
    let lost = Turn { response: Some(response("t9", None, true)), ..turn("t9", "nowhere", 0, &["i"]) };
    assert_eq!(store.keep("a", &lost).await.unwrap(), Kept::NoConversation);
    assert_eq!(store.response("a", "t9").await.unwrap(), None);
    assert_eq!(store.add_items("a", "nowhere", &[entry("i", "")]).await.unwrap(), Kept::NoConversation);
    assert!(store.load("a", "nowhere").await.unwrap().is_none());
    assert!(!store.set_metadata("a", "nowhere", Bytes::new()).await.unwrap());
    assert!(!store.remove_conversation("a", "nowhere").await.unwrap());
    assert!(!store.remove_item("a", "nowhere", "i").await.unwrap());
    assert!(!store.remove_response("a", "nowhere").await.unwrap());
    assert!(store.chain("a", "nowhere").await.unwrap().is_none());
}

async fn an_owner_sees_and_touches_its_own_alone(store: &dyn ConversationStore) {
    for owner in ["x", "x}y", "x:c", "{x}", "X", "x\0", "ü"] {
        store.create(owner, &conversation("same"), &[entry("i", owner)]).await.unwrap();
        store.keep(owner, &lone(response("same", None, true))).await.unwrap();
    }
    assert!(store.remove_conversation("x", "same").await.unwrap());
    assert!(store.remove_response("x", "same").await.unwrap());
    for owner in ["x}y", "x:c", "{x}", "X", "x\0", "ü"] {
        let (_, items) = store.load(owner, "same").await.unwrap().unwrap();
        assert_eq!(items, [entry("i", owner)], "{owner:?}");
        assert!(store.response(owner, "same").await.unwrap().is_some(), "{owner:?}");
        let own = [Kind::Conversation, Kind::Response].map(|kind| Listed { kind, id: "same".into() });
        assert_eq!(store.list(owner, None, 10).await.unwrap(), own, "{owner:?}");
    }
    assert!(store.load("x", "same").await.unwrap().is_none());
    assert_eq!(store.list("x", None, 10).await.unwrap(), []);
    assert_eq!(store.forget("X").await.unwrap(), 2);
    assert!(store.load("X", "same").await.unwrap().is_none());
    assert!(store.load("{x}", "same").await.unwrap().is_some());
}

async fn a_chain_goes_back_to_its_beginning(store: &dyn ConversationStore) {
    for (id, previous) in [("r1", None), ("r2", Some("r1")), ("r3", Some("r2")), ("branch", Some("r1"))] {
        assert_eq!(store.keep("a", &lone(response(id, previous, true))).await.unwrap(), Kept::Done);
    }
    let ids = |chain: Option<Vec<Response>>| -> Vec<String> {
        chain.unwrap().into_iter().map(|response| response.id).collect()
    };
    assert_eq!(ids(store.chain("a", "r3").await.unwrap()), ["r1", "r2", "r3"]);
    assert_eq!(ids(store.chain("a", "branch").await.unwrap()), ["r1", "branch"]);
    assert_eq!(store.chain("a", "r2").await.unwrap().unwrap()[1], response("r2", Some("r1"), true));
    assert!(store.remove_response("a", "r1").await.unwrap());
    assert!(store.chain("a", "r3").await.unwrap().is_none(), "a link is gone");
    let mut before: Option<String> = None;
    for place in 0..=RETENTION.most_items {
        let id = format!("long{place}");
        store.keep("a", &lone(response(&id, before.as_deref(), true))).await.unwrap();
        before = Some(id);
    }
    assert!(store.chain("a", "long5").await.unwrap().is_some());
    assert!(store.chain("a", "long6").await.unwrap().is_none(), "it is too long");
}

async fn what_is_finished_stays_and_what_is_not_changes(store: &dyn ConversationStore) {
    store.keep("a", &lone(response("u1", None, false))).await.unwrap();
    let later = Response { body: Bytes::from_static(b"later"), ..response("u1", None, true) };
    store.keep("a", &lone(later.clone())).await.unwrap();
    assert_eq!(store.response("a", "u1").await.unwrap(), Some(later.clone()));
    let again = Response { body: Bytes::from_static(b"again"), ..later.clone() };
    assert_eq!(store.keep("a", &lone(again)).await.unwrap(), Kept::Done);
    assert_eq!(store.response("a", "u1").await.unwrap(), Some(later));
}

async fn items_come_and_go_one_by_one(store: &dyn ConversationStore) {
    store.create("a", &conversation("c5"), &[entry("i1", "")]).await.unwrap();
    let before = head(store, "a", "c5").await;
    assert_eq!(store.add_items("a", "c5", &[entry("i2", "b"), entry("i3", "c")]).await.unwrap(), Kept::Done);
    assert!(store.remove_item("a", "c5", "i2").await.unwrap());
    assert!(!store.remove_item("a", "c5", "i2").await.unwrap());
    assert!(!store.remove_item("a", "c5", "i").await.unwrap(), "no part of an id is one");
    assert_eq!(ids(store, "a", "c5").await, ["i1", "i3"]);
    let stale = store.keep("a", &turn("t1", "c5", before, &["i4"])).await.unwrap();
    assert!(matches!(stale, Kept::Conflict { .. }), "the state is another now");
    assert!(store.set_metadata("a", "c5", Bytes::from_static(b"new")).await.unwrap());
    assert_eq!(&*store.conversation("a", "c5").await.unwrap().unwrap().metadata, b"new");
    assert!(store.remove_conversation("a", "c5").await.unwrap());
    assert!(store.load("a", "c5").await.unwrap().is_none());
    store.create("a", &conversation("c5"), &[]).await.unwrap();
    assert_eq!(ids(store, "a", "c5").await, [] as [&str; 0], "nothing of the one before is left");
}

async fn any_bytes_come_back(store: &dyn ConversationStore) {
    let all: Vec<u8> = (0..=255).collect();
    let content = Bytes::from(all.repeat(40));
    let entry = Entry { id: "i".into(), content: content.clone() };
    let made = Conversation { metadata: content.clone(), ..conversation("c6") };
    store.create("a", &made, std::slice::from_ref(&entry)).await.unwrap();
    let (found, items) = store.load("a", "c6").await.unwrap().unwrap();
    assert_eq!((found.metadata, items), (content.clone(), vec![entry]));
    let made = Response { body: content.clone(), input: content, ..response("bytes", None, true) };
    store.keep("a", &lone(made.clone())).await.unwrap();
    assert_eq!(store.response("a", "bytes").await.unwrap(), Some(made));
}

async fn lists_are_read_page_by_page(store: &dyn ConversationStore) {
    for place in 0..5 {
        store.create("lister", &conversation(&format!("c{place}")), &[]).await.unwrap();
        store.keep("lister", &lone(response(&format!("r{place}"), None, true))).await.unwrap();
    }
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.list("lister", after.as_ref(), 3).await.unwrap();
        assert!(page.len() <= 3);
        let Some(last) = page.last().cloned() else { break };
        after = Some(last);
        all.extend(page);
    }
    assert_eq!(all.len(), 10);
    assert!(all.is_sorted());
    assert_eq!(store.forget("lister").await.unwrap(), 10);
    assert_eq!(store.list("lister", None, 3).await.unwrap(), []);
    assert_eq!(store.forget("lister").await.unwrap(), 0);
}

async fn of_many_at_once_exactly_one_wins(store: &dyn ConversationStore) {
    store.create("a", &conversation("c7"), &[]).await.unwrap();
    let now = head(store, "a", "c7").await;
    let turns: Vec<Turn> =
        (0..32).map(|place| turn(&format!("t{place}"), "c7", now, &[&format!("i{place}")])).collect();
    let kept = join_all(turns.iter().map(|turn| store.keep("a", turn))).await;
    let won = kept.into_iter().filter(|kept| *kept.as_ref().unwrap() == Kept::Done).count();
    assert_eq!((won, ids(store, "a", "c7").await.len()), (1, 1));
}

async fn who_tries_again_gets_in_once(store: &dyn ConversationStore) {
    store.create("a", &conversation("c8"), &[]).await.unwrap();
    let persist = |place: usize| async move {
        loop {
            let now = head(store, "a", "c8").await;
            let turn = turn(&format!("t{place}"), "c8", now, &[&format!("i{place}")]);
            if store.keep("a", &turn).await.unwrap() == Kept::Done {
                // Said twice, kept once.
                assert_eq!(store.keep("a", &turn).await.unwrap(), Kept::Done);
                return;
            }
        }
    };
    join_all((0..RETENTION.most_items).map(persist)).await;
    let mut found = ids(store, "a", "c8").await;
    found.sort();
    assert_eq!(found, ["i0", "i1", "i2", "i3", "i4", "i5"]);
}

macro_rules! suite {
    ($($case:ident;)*) => {
        mod in_a_file {
            $(#[tokio::test] async fn $case() {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("conversations.redb");
                let store = super::EmbeddedConversations::open(&path, super::RETENTION, super::Clock::System).unwrap();
                super::$case(&store).await;
            })*
        }

        mod in_redis {
            $(#[tokio::test] async fn $case() {
                let server = super::Server::start().await;
                super::$case(&super::RedisConversations::new(server.link(), super::RETENTION)).await;
            })*
        }

        #[tokio::test]
        async fn in_a_cluster_it_is_the_same() {
            let cluster = Cluster::start().await;
            let store = RedisConversations::new(cluster.link(), RETENTION);
            $($case(&store).await;)*
            for owner in 0..20 {
                store.create(&format!("owner {owner}"), &conversation("c"), &[]).await.unwrap();
            }
            // Twenty owners on one of three nodes: less than once in a thousand million runs.
            assert!(cluster.sizes().iter().filter(|size| **size > 0).count() > 1);
        }
    };
}

suite! {
    turns_are_added_in_order;
    a_turn_is_kept_once;
    of_two_turns_from_one_state_one_is_kept;
    a_full_conversation_takes_no_part_of_a_turn;
    what_is_not_there_takes_nothing;
    an_owner_sees_and_touches_its_own_alone;
    a_chain_goes_back_to_its_beginning;
    what_is_finished_stays_and_what_is_not_changes;
    items_come_and_go_one_by_one;
    any_bytes_come_back;
    lists_are_read_page_by_page;
    of_many_at_once_exactly_one_wins;
    who_tries_again_gets_in_once;
}

#[tokio::test]
async fn a_file_that_is_opened_again_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conversations.redb");
    let open = || EmbeddedConversations::open(&path, RETENTION, Clock::System);
    let store = open().unwrap();
    turns_are_added_in_order(&store).await;
    a_chain_goes_back_to_its_beginning(&store).await;
    assert!(open().is_err(), "one process at a time");
    drop(store);
    // The writer's thread lets go of the file as soon as it has seen that nobody asks it any more.
    let store = loop {
        match open() {
            Ok(store) => break store,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    assert_eq!(ids(&store, "a", "c1").await, ["i0", "i1", "i2", "i3"]);
    assert!(store.chain("a", "long5").await.unwrap().is_some());
}

#[tokio::test]
async fn in_a_file_what_is_not_used_ends_and_what_is_used_stays() {
    let clock = Clock::manual(1_000_000_000);
    let store = EmbeddedConversations::in_memory(RETENTION, clock.clone());
    let ms = u64::try_from(RETENTION.keep_for.as_millis()).unwrap();
    for id in ["used", "unused"] {
        store.create("a", &conversation(id), &[entry("i", "")]).await.unwrap();
        store.keep("a", &lone(response(&format!("r-{id}"), None, true))).await.unwrap();
    }
    clock.advance(ms / 2);
    store.load("a", "used").await.unwrap();
    store.chain("a", "r-used").await.unwrap();
    clock.advance(ms / 2 + 1_000);
    assert!(store.conversation("a", "unused").await.unwrap().is_none());
    assert!(store.response("a", "r-unused").await.unwrap().is_none());
    let left = vec![
        Listed { kind: Kind::Conversation, id: "used".into() },
        Listed { kind: Kind::Response, id: "r-used".into() },
    ];
    assert_eq!(store.list("a", None, 10).await.unwrap(), left);
    store.sweep().await.unwrap();
    assert_eq!(store.list("a", None, 10).await.unwrap(), left);
    assert_eq!(store.forget("a").await.unwrap(), 2);
}

#[tokio::test]
async fn in_redis_what_is_not_used_ends() {
    let server = Server::start().await;
    let brief = Retention { keep_for: Duration::from_millis(300), ..RETENTION };
    let store = RedisConversations::new(server.link(), brief);
    store.create("a", &conversation("c"), &[entry("i", "")]).await.unwrap();
    store.keep("a", &lone(response("r", None, true))).await.unwrap();
    while store.conversation("a", "c").await.unwrap().is_some()
        || store.response("a", "r").await.unwrap().is_some()
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(store.list("a", None, 10).await.unwrap(), []);
    let left: Vec<String> = server.query(redis::cmd("KEYS").arg("*"));
    assert_eq!(left, [] as [&str; 0]);
}

#[tokio::test]
async fn many_writers_of_a_file_share_its_disk_and_all_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conversations.redb");
    let store = Arc::new(EmbeddedConversations::open(&path, RETENTION, Clock::System).unwrap());
    let kept = join_all((0..300).map(|place| {
        let store = Arc::clone(&store);
        async move { store.keep("a", &lone(response(&format!("r{place}"), None, true))).await }
    }))
    .await;
    assert!(kept.into_iter().all(|kept| kept == Ok(Kept::Done)));
    assert_eq!(store.forget("a").await.unwrap(), 300);
}
