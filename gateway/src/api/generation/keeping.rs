//! What a request goes on from, and what is kept of it: the steps that chat and responses share.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use openapi::admin::policy::PermissionName;
use openapi::message::Message;
use openapi::responses::Item;
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::auth::Principal;
use crate::conversation::fit::is_instruction;
use crate::conversation::{Context, Link, NewTurn, item};
use crate::error::ApiError;
use crate::limits::Headers;
use crate::stream::Keeper;
use crate::stream::response::Draft;

/// A value that is the same for all requests that share a context: load balancers may send them to one replica, which
/// has it computed already.
const AFFINITY: HeaderName = HeaderName::from_static("x-sluice-affinity");
/// How many messages were left out to fit the window.
const TRUNCATED: HeaderName = HeaderName::from_static("x-sluice-truncated-messages");

/// What a link leads to. Only the caller's own is found.
pub(crate) async fn context(app: &App, caller: &Principal, link: &Link) -> Result<Context, ApiError> {
    if *link != Link::None {
        caller.require(PermissionName::Conversations)?;
    }
    Ok(app.conversations.context(&caller.subject, link).await?)
}

/// The new messages behind those that are kept, and the items to keep of them. Instructions that a client sends with
/// each request, as plain chat clients do, are not repeated where the conversation begins with them.
pub(crate) fn go_on(context: &Context, new: &[Message]) -> (Vec<Message>, Vec<Item>) {
    let mut messages = item::messages(&context.items);
    let leading = new.iter().take_while(|message| is_instruction(message)).count();
    let repeated = new.get(..leading).is_some_and(|instructions| messages.starts_with(instructions));
    let skipped = if repeated { leading } else { 0 };
    let fresh = || new.iter().skip(skipped);
    let items = fresh().flat_map(item::items).collect();
    messages.extend(fresh().cloned());
    (messages, items)
}

/// Keeps a turn at its end.
pub(crate) fn keeper(app: &App, caller: &Principal, turn: NewTurn, draft: Option<Draft>) -> Keeper {
    Keeper {
        conversations: Arc::clone(&app.conversations),
        lifecycle: app.lifecycle.clone(),
        owner: Arc::clone(&caller.subject),
        turn,
        draft,
    }
}

/// What the answer's headers tell of its context.
pub(crate) fn hints(caller: &Principal, origin: &str, left_out: usize) -> Headers {
    let digest =
        Sha256::new().chain_update(&*caller.subject).chain_update([0]).chain_update(origin).finalize();
    let affinity =
        HeaderValue::try_from(format!("{:016x}", super::short(&digest))).ok().map(|value| (AFFINITY, value));
    let truncated = (left_out > 0).then(|| (TRUNCATED, HeaderValue::from(left_out)));
    affinity.into_iter().chain(truncated).collect()
}
