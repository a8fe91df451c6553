//! Any order of operations does to a store what it does to a list in memory.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::{Clock, RETENTION, conversation, entry, lone, response, turn};
use crate::conversation::store::embedded::EmbeddedConversations;
use crate::conversation::store::redis::RedisConversations;
use crate::conversation::store::{ConversationStore, Kept};
use crate::redis_link::test_server::Server;

#[derive(Debug, Clone)]
enum Step {
    Create {
        owner: usize,
        id: usize,
    },
    /// With the head that was seen last, or with one that is past.
    Keep {
        owner: usize,
        id: usize,
        turn: u8,
        items: usize,
        stale: bool,
    },
    Add {
        owner: usize,
        id: usize,
        items: usize,
    },
    RemoveItem {
        owner: usize,
        id: usize,
        place: usize,
    },
    Remove {
        owner: usize,
        id: usize,
    },
    Respond {
        owner: usize,
        id: usize,
        finished: bool,
        body: u8,
    },
    RemoveResponse {
        owner: usize,
        id: usize,
    },
    Forget {
        owner: usize,
    },
}

const OWNERS: [&str; 2] = ["a", "a:c"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || (0..OWNERS.len(), 0_usize..3);
    let step = prop_oneof![
        2 => who().prop_map(|(owner, id)| Step::Create { owner, id }),
        6 => (who(), 0_u8..12, 0_usize..3, prop::bool::weighted(0.2))
            .prop_map(|((owner, id), turn, items, stale)| Step::Keep { owner, id, turn, items, stale }),
        2 => (who(), 0_usize..3).prop_map(|((owner, id), items)| Step::Add { owner, id, items }),
        2 => (who(), 0_usize..4).prop_map(|((owner, id), place)| Step::RemoveItem { owner, id, place }),
        1 => who().prop_map(|(owner, id)| Step::Remove { owner, id }),
        3 => (who(), any::<bool>(), any::<u8>())
            .prop_map(|((owner, id), finished, body)| Step::Respond { owner, id, finished, body }),
        1 => who().prop_map(|(owner, id)| Step::RemoveResponse { owner, id }),
        1 => (0..OWNERS.len()).prop_map(|owner| Step::Forget { owner }),
    ];
    prop::collection::vec(step, 1..40)
}

/// What a store should hold.
#[derive(Default)]
struct Model {
    conversations: BTreeMap<(usize, usize), (Vec<String>, Vec<String>)>,
    responses: BTreeMap<(usize, usize), (bool, Bytes)>,
    named: usize,
}

impl Model {
    fn fresh(&mut self, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| {
                self.named += 1;
                format!("i{}", self.named)
            })
            .collect()
    }

    async fn play(&mut self, store: &dyn ConversationStore, step: &Step) {
        let name = |id: usize| format!("c{id}");
        match *step {
            Step::Create { owner, id } => {
                store.create(OWNERS[owner], &conversation(&name(id)), &[]).await.unwrap();
                self.conversations.insert((owner, id), Default::default());
            }
            Step::Keep { .. } => self.play_turn(store, step).await,
            Step::Add { owner, id, items } => {
                let items = self.fresh(items);
                let entries: Vec<_> = items.iter().map(|item| entry(item, "")).collect();
                let kept = store.add_items(OWNERS[owner], &name(id), &entries).await.unwrap();
                let expected = match self.conversations.get_mut(&(owner, id)) {
                    None => Kept::NoConversation,
                    Some((held, _)) if held.len() + items.len() > RETENTION.most_items => Kept::Full,
                    Some((held, _)) => {
                        held.extend(items);
                        Kept::Done
                    }
                };
                assert_eq!(kept, expected, "{step:?}");
            }
            Step::RemoveItem { owner, id, place } => {
                let held = self.conversations.get_mut(&(owner, id));
                let item = held.filter(|(held, _)| place < held.len()).map(|(held, _)| held.remove(place));
                let removed = store
                    .remove_item(OWNERS[owner], &name(id), item.as_deref().unwrap_or("none"))
                    .await
                    .unwrap();
                assert_eq!(removed, item.is_some());
            }
            _ => self.play_rest(store, step).await,
        }
    }

    async fn play_turn(&mut self, store: &dyn ConversationStore, step: &Step) {
        let Step::Keep { owner, id, turn: number, items, stale } = *step else { return };
        let name = format!("c{id}");
        let items = self.fresh(items);
        let names: Vec<&str> = items.iter().map(String::as_str).collect();
        let now = store.conversation(OWNERS[owner], &name).await.unwrap();
        let state = now.map_or(0, |now| now.head) + if stale { 1_000 } else { 0 };
        let turn = turn(&format!("t{number}"), &name, state, &names);
        let kept = store.keep(OWNERS[owner], &turn).await.unwrap();
        let expected = match self.conversations.get_mut(&(owner, id)) {
            None => Kept::NoConversation,
            Some((_, turns)) if turns.iter().rev().take(8).any(|kept| *kept == turn.id) => Kept::Done,
            Some(_) if stale => Kept::Conflict { head: state - 1_000 },
            Some((held, _)) if held.len() + items.len() > RETENTION.most_items => Kept::Full,
            Some((held, turns)) => {
                held.extend(items);
                turns.push(turn.id);
                Kept::Done
            }
        };
        assert_eq!(kept, expected, "{step:?}");
    }

    async fn play_rest(&mut self, store: &dyn ConversationStore, step: &Step) {
        match *step {
            Step::Remove { owner, id } => {
                let removed = store.remove_conversation(OWNERS[owner], &format!("c{id}")).await.unwrap();
                assert_eq!(removed, self.conversations.remove(&(owner, id)).is_some());
            }
            Step::Respond { owner, id, finished, body } => {
                let body = Bytes::from(vec![body]);
                let mut made = response(&format!("r{id}"), None, finished);
                made.body = body.clone();
                store.keep(OWNERS[owner], &lone(made)).await.unwrap();
                let held = self.responses.entry((owner, id)).or_default();
                if !held.0 {
                    *held = (finished, body);
                }
            }
            Step::RemoveResponse { owner, id } => {
                let removed = store.remove_response(OWNERS[owner], &format!("r{id}")).await.unwrap();
                assert_eq!(removed, self.responses.remove(&(owner, id)).is_some());
            }
            Step::Forget { owner } => {
                let before = self.conversations.len() + self.responses.len();
                self.conversations.retain(|(whose, _), _| *whose != owner);
                self.responses.retain(|(whose, _), _| *whose != owner);
                let gone = before - self.conversations.len() - self.responses.len();
                assert_eq!(store.forget(OWNERS[owner]).await.unwrap(), gone as u64);
            }
            _ => unreachable!("played elsewhere"),
        }
    }

    async fn compare(&self, store: &dyn ConversationStore) {
        for (owner, whose) in OWNERS.iter().enumerate() {
            for id in 0..3 {
                let found = store.load(whose, &format!("c{id}")).await.unwrap();
                let found: Option<Vec<String>> =
                    found.map(|(_, items)| items.into_iter().map(|item| item.id).collect());
                assert_eq!(found, self.conversations.get(&(owner, id)).map(|(held, _)| held.clone()));
                let found = store.response(whose, &format!("r{id}")).await.unwrap();
                let found = found.map(|response| (response.finished, response.body));
                assert_eq!(found, self.responses.get(&(owner, id)).cloned());
            }
        }
    }

    async fn run(store: &dyn ConversationStore, steps: &[Step]) {
        let mut model = Self::default();
        for step in steps {
            model.play(store, step).await;
        }
        model.compare(store).await;
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #[test]
    fn the_embedded_store_does_what_the_model_does(steps in steps()) {
        runtime().block_on(async {
            Model::run(&EmbeddedConversations::in_memory(RETENTION, Clock::System), &steps).await;
        });
    }
}

#[test]
fn the_store_in_redis_does_what_the_model_does() {
    runtime().block_on(async {
        let server = Server::start().await;
        let store = RedisConversations::new(server.link(), RETENTION);
        let mut runner = proptest::test_runner::TestRunner::default();
        for _ in 0..60 {
            let steps = steps().new_tree(&mut runner).unwrap().current();
            Model::run(&store, &steps).await;
            for owner in OWNERS {
                store.forget(owner).await.unwrap();
            }
        }
    });
}
