//! The store in the Redis that replicas share: one round trip for each thing that is asked of it.
//!
//! All of an owner's keys have the owner's hash tag, so that its scripts find them together in a cluster:
//! `sluice:kept:{owner}:c:<id>` is a conversation, `…:i:<id>` the list of its items, `…:r:<id>` a response, and
//! `…:all` the index of both. Each ends by itself when it was not used for long enough.

mod pack;

use ::redis::{Script, ScriptInvocation, cmd, pipe};
use bytes::Bytes;
use futures_util::FutureExt;

use super::{
    Answer, Conversation, ConversationStore, Entry, Kept, Kind, Listed, Response, Retention, StoreError, Turn,
};
use crate::redis_link::{RedisLink, tag};

/// Things that are removed in one go, so that nobody else waits for long.
const AT_ONCE: usize = 200;

/// A store that replicas share.
#[derive(Debug)]
pub struct RedisConversations {
    link: RedisLink,
    scripts: Scripts,
    keep_for: u64,
    most_items: usize,
}

#[derive(Debug)]
struct Scripts {
    create: Script,
    load: Script,
    metadata: Script,
    add: Script,
    remove_item: Script,
    keep: Script,
    chain: Script,
    list: Script,
    forget: Script,
}

/// The keys of one owner.
struct Keys(String);

impl Keys {
    fn of(owner: &str) -> Self {
        Self(format!("sluice:kept:{}:", tag(owner)))
    }

    fn conversation(&self, id: &str) -> String {
        format!("{}c:{id}", self.0)
    }

    fn items(&self, id: &str) -> String {
        format!("{}i:{id}", self.0)
    }

    fn response(&self, id: &str) -> String {
        format!("{}r:{id}", self.0)
    }

    fn index(&self) -> String {
        format!("{}all", self.0)
    }
}

/// When a conversation was made, its head, its metadata and its items.
type Loaded = (u64, u64, Vec<u8>, Vec<Vec<u8>>);
/// A response in a chain: its id and its fields.
type ChainRow = (String, u64, u8, String, Vec<u8>, Vec<u8>);

impl RedisConversations {
    /// A store behind a link.
    pub fn new(link: RedisLink, retention: Retention) -> Self {
        let scripts = Scripts {
            create: Script::new(include_str!("create.lua")),
            load: Script::new(include_str!("load.lua")),
            metadata: Script::new(include_str!("metadata.lua")),
            add: Script::new(include_str!("add.lua")),
            remove_item: Script::new(include_str!("remove_item.lua")),
            keep: Script::new(include_str!("keep.lua")),
            chain: Script::new(include_str!("chain.lua")),
            list: Script::new(include_str!("list.lua")),
            forget: Script::new(include_str!("forget.lua")),
        };
        let keep_for = u64::try_from(retention.keep_for.as_millis()).unwrap_or(u64::MAX);
        Self { link, scripts, keep_for, most_items: retention.most_items }
    }

    /// A script's call about a conversation: the conversation, its items, the index, and how long they are kept.
    fn about<'a>(&self, script: &'a Script, owner: &str, id: &str) -> ScriptInvocation<'a> {
        let keys = Keys::of(owner);
        let mut call = script.key(keys.conversation(id));
        call.key(keys.items(id)).key(keys.index()).arg(self.keep_for);
        call
    }

    async fn run<T: ::redis::FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, StoreError> {
        self.link.run(call).await.map_err(StoreError::of)
    }
}

/// A thing's name in the index.
fn name(listed: &Listed) -> String {
    match listed.kind {
        Kind::Conversation => format!("c:{}", listed.id),
        Kind::Response => format!("r:{}", listed.id),
    }
}

fn listed(name: &str) -> Option<Listed> {
    let (kind, id) = name.split_once(':')?;
    let kind = if kind == "c" { Kind::Conversation } else { Kind::Response };
    Some(Listed { kind, id: id.to_owned() })
}

fn outcome(word: &str, head: u64) -> Result<Kept, StoreError> {
    match word {
        "done" => Ok(Kept::Done),
        "gone" => Ok(Kept::NoConversation),
        "full" => Ok(Kept::Full),
        "conflict" => Ok(Kept::Conflict { head }),
        other => Err(StoreError::of(format!("the script answered {other}"))),
    }
}

impl ConversationStore for RedisConversations {
    fn create<'a>(
        &'a self,
        owner: &'a str,
        conversation: &'a Conversation,
        items: &'a [Entry],
    ) -> Answer<'a, ()> {
        async move {
            let mut call = self.about(&self.scripts.create, owner, &conversation.id);
            call.arg(format!("c:{}", conversation.id)).arg(conversation.created_at).arg(conversation.head);
            call.arg(conversation.metadata.as_ref());
            for item in items {
                call.arg(pack::pack(item));
            }
            self.run(&call).await
        }
        .boxed()
    }

    fn conversation<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Option<Conversation>> {
        async move {
            let mut get = cmd("HMGET");
            get.arg(Keys::of(owner).conversation(id)).arg("at").arg("head").arg("meta");
            let found: (Option<u64>, Option<u64>, Option<Vec<u8>>) =
                self.link.query(&get).await.map_err(StoreError::of)?;
            let (Some(created_at), Some(head), Some(metadata)) = found else { return Ok(None) };
            Ok(Some(Conversation { id: id.to_owned(), created_at, head, metadata: metadata.into() }))
        }
        .boxed()
    }

    fn load<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Option<(Conversation, Vec<Entry>)>> {
        async move {
            let call = self.about(&self.scripts.load, owner, id);
            let found: Option<Loaded> = self.run(&call).await?;
            let Some((created_at, head, metadata, packed)) = found else { return Ok(None) };
            let items: Option<Vec<Entry>> = packed.into_iter().map(pack::unpack).collect();
            let items = items.ok_or_else(|| StoreError::of("an item in Redis is none of ours"))?;
            let id = id.to_owned();
            Ok(Some((Conversation { id, created_at, head, metadata: metadata.into() }, items)))
        }
        .boxed()
    }

    fn set_metadata<'a>(&'a self, owner: &'a str, id: &'a str, metadata: Bytes) -> Answer<'a, bool> {
        async move {
            let mut call = self.about(&self.scripts.metadata, owner, id);
            call.arg(metadata.as_ref());
            self.run(&call).await
        }
        .boxed()
    }

    fn add_items<'a>(&'a self, owner: &'a str, id: &'a str, items: &'a [Entry]) -> Answer<'a, Kept> {
        async move {
            let mut call = self.about(&self.scripts.add, owner, id);
            call.arg(self.most_items);
            for item in items {
                call.arg(pack::pack(item));
            }
            let word: String = self.run(&call).await?;
            outcome(&word, 0)
        }
        .boxed()
    }

    fn remove_item<'a>(&'a self, owner: &'a str, id: &'a str, item: &'a str) -> Answer<'a, bool> {
        async move {
            let keys = Keys::of(owner);
            let mut call = self.scripts.remove_item.key(keys.conversation(id));
            call.key(keys.items(id)).arg(pack::prefix(item));
            self.run(&call).await
        }
        .boxed()
    }

    fn remove_conversation<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, bool> {
        async move {
            let keys = Keys::of(owner);
            let mut all = pipe();
            all.atomic().cmd("UNLINK").arg(keys.conversation(id));
            all.cmd("UNLINK").arg(keys.items(id)).ignore();
            all.cmd("ZREM").arg(keys.index()).arg(format!("c:{id}")).ignore();
            let (there,): (bool,) = self.link.pipeline(&all).await.map_err(StoreError::of)?;
            Ok(there)
        }
        .boxed()
    }

    fn keep<'a>(&'a self, owner: &'a str, turn: &'a Turn) -> Answer<'a, Kept> {
        async move {
            let keys = Keys::of(owner);
            let conversation = turn.append.as_ref().map_or("", |append| &append.conversation);
            let mut call = self.scripts.keep.key(keys.response(&turn.id));
            call.key(keys.index()).key(keys.conversation(conversation)).key(keys.items(conversation));
            call.arg(self.keep_for).arg(self.most_items).arg(&turn.id);
            call.arg(turn.append.as_ref().map(|append| append.head.to_string()).unwrap_or_default());
            call.arg(format!("c:{conversation}"));
            match &turn.response {
                Some(made) => {
                    call.arg(format!("r:{}", made.id)).arg(made.created_at).arg(u8::from(made.finished));
                    call.arg(made.previous.as_deref().unwrap_or_default());
                    call.arg(made.body.as_ref()).arg(made.input.as_ref());
                }
                None => {
                    for _ in 0..6 {
                        call.arg("");
                    }
                }
            }
            for item in turn.append.iter().flat_map(|append| &append.items) {
                call.arg(pack::pack(item));
            }
            let (word, head): (String, u64) = self.run(&call).await?;
            outcome(&word, head)
        }
        .boxed()
    }

    fn response<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Option<Response>> {
        async move {
            type Fields = (Option<u64>, Option<u8>, Option<String>, Option<Vec<u8>>, Option<Vec<u8>>);
            let mut get = cmd("HMGET");
            get.arg(Keys::of(owner).response(id)).arg("at").arg("done").arg("prev").arg("body").arg("input");
            let found: Fields = self.link.query(&get).await.map_err(StoreError::of)?;
            let (Some(at), Some(done), Some(previous), Some(body), Some(input)) = found else {
                return Ok(None);
            };
            Ok(Some(response((id.to_owned(), at, done, previous, body, input))))
        }
        .boxed()
    }

    fn chain<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Option<Vec<Response>>> {
        async move {
            let keys = Keys::of(owner);
            let mut call = self.scripts.chain.key(keys.response(id));
            call.key(keys.index()).arg(self.keep_for).arg(self.most_items).arg(keys.response("")).arg(id);
            let found: Option<Vec<ChainRow>> = self.run(&call).await?;
            Ok(found.map(|chain| chain.into_iter().rev().map(response).collect()))
        }
        .boxed()
    }

    fn remove_response<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, bool> {
        async move {
            let keys = Keys::of(owner);
            let mut all = pipe();
            all.atomic().cmd("UNLINK").arg(keys.response(id));
            all.cmd("ZREM").arg(keys.index()).arg(format!("r:{id}")).ignore();
            let (there,): (bool,) = self.link.pipeline(&all).await.map_err(StoreError::of)?;
            Ok(there)
        }
        .boxed()
    }

    fn list<'a>(&'a self, owner: &'a str, after: Option<&'a Listed>, most: usize) -> Answer<'a, Vec<Listed>> {
        async move {
            let keys = Keys::of(owner);
            let mut call = self.scripts.list.key(keys.index());
            call.arg(&keys.0).arg(after.map(name).unwrap_or_default()).arg(most);
            let names: Vec<String> = self.run(&call).await?;
            Ok(names.iter().filter_map(|name| listed(name)).collect())
        }
        .boxed()
    }

    fn forget<'a>(&'a self, owner: &'a str) -> Answer<'a, u64> {
        async move {
            let keys = Keys::of(owner);
            let mut call = self.scripts.forget.key(keys.index());
            call.arg(&keys.0).arg(AT_ONCE);
            let mut all = 0;
            loop {
                let (names, gone): (usize, u64) = self.run(&call).await?;
                all += gone;
                if names == 0 {
                    return Ok(all);
                }
            }
        }
        .boxed()
    }

    /// Redis does this by itself.
    fn sweep(&self) -> Answer<'_, ()> {
        futures_util::future::ready(Ok(())).boxed()
    }
}

fn response((id, created_at, done, previous, body, input): ChainRow) -> Response {
    Response {
        id,
        created_at,
        finished: done == 1,
        previous: (!previous.is_empty()).then_some(previous),
        body: body.into(),
        input: input.into(),
    }
}
