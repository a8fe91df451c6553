//! The closed loop: so many users, each asking again as soon as it has its answer, until no request is left.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cell::{Cell, Client, Settings};
use crate::ran::{Outcome, Ran};
use crate::workload::{self, Ask, Messages, Script};

/// What the users share: the requests still to be made, and the answers.
#[derive(Debug, Default)]
struct Board {
    waiting: Mutex<VecDeque<Script>>,
    outcomes: Mutex<Vec<Outcome>>,
}

/// Runs a cell's requests.
pub(crate) async fn run(client: &Arc<Client>, settings: &Settings, cell: Cell) -> Ran {
    let seed = cell.seed(settings);
    let scripts =
        workload::scripts(cell.scenario, &settings.shape, cell.concurrency, settings.requests, seed);
    let board = Arc::new(Board { waiting: Mutex::new(scripts), outcomes: Mutex::default() });
    let mut users = JoinSet::new();
    for _ in 0..cell.concurrency {
        users.spawn(user(Arc::clone(client), Arc::clone(&board)));
    }
    while users.join_next().await.is_some() {}
    let undone = board.waiting.lock().len();
    let outcomes = std::mem::take(&mut *board.outcomes.lock());
    Ran { outcomes, undone, ..Ran::default() }
}

async fn user(client: Arc<Client>, board: Arc<Board>) {
    while Instant::now() < client.deadline {
        let Some(script) = board.waiting.lock().pop_front() else { return };
        play(&client, script, &board).await;
    }
}

/// Makes a script's requests, each with the answers before it; a failed one ends the script.
async fn play(client: &Client, mut script: Script, board: &Board) {
    let mut messages: Messages = script.system.take().map(|text| ("system", text)).into_iter().collect();
    let ask = Ask {
        max_tokens: client.shape.max_tokens,
        seed: script.seed,
        schema: script.schema,
        conversation: None,
    };
    for turn in script.turns {
        messages.push(("user", turn));
        let result = client.ask(&messages, ask).await;
        let answer = result.as_ref().ok().map(|transcript| transcript.text.clone());
        board.outcomes.lock().push(Outcome { class: script.class, result });
        let Some(answer) = answer else { return };
        messages.push(("assistant", answer));
    }
}
