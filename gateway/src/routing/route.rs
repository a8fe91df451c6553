//! A name that stands for models: its targets and fallbacks, and in which order a request asks them.

use std::sync::Arc;
use std::time::Duration;

use openapi::admin::models::{Balance, RouteSpec, Sticky};
use openapi::message::{Content, Message, Part, Role};
use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::time::Instant;

use super::budget::Budget;
use super::shadow::Shade;
use super::target::{Shut, Target};
use super::{Tools, choose};
use crate::engine::{ModelCard, Prompt};
use crate::telemetry::metrics::routing::Routing;

/// Bytes of a prompt that tell which prefix it has: a shorter one is computed anew as fast as it is found.
const PREFIX: usize = 1024;

/// A route with all that its requests share.
pub(super) struct Route {
    spec: RouteSpec,
    /// The version in the store; none where the configuration has it.
    version: Option<u64>,
    card: ModelCard,
    /// The targets, then the fallbacks.
    seats: Vec<Seat>,
    budget: Mutex<Budget>,
    origin: Instant,
    shade: Option<Shade>,
    metrics: Routing,
}

/// One model of a route.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) target: Arc<Target>,
    pub(super) weight: u32,
    pub(super) cap: Option<u32>,
    pub(super) fallback: bool,
    /// Its name as the race takes it.
    luck: u64,
}

impl Seat {
    /// Why it would not be sent a request, if so.
    pub(super) fn shut(&self) -> Option<Shut> {
        self.target.shut(self.cap)
    }

    /// How much it has to do for its weight.
    fn load(&self) -> f64 {
        f64::from(self.target.outstanding().saturating_add(1)) / f64::from(self.weight.max(1))
    }

    /// Places after those that are better asked: busy ones, then those that are shut.
    fn reluctance(&self) -> u8 {
        match (self.shut(), self.target.rests()) {
            (None, false) => 0,
            (None, true) => 1,
            (Some(_), _) => 2,
        }
    }
}

impl Route {
    /// A route over the models that are served.
    ///
    /// # Errors
    /// The name of a model that is not.
    pub(super) fn new(
        spec: RouteSpec,
        version: Option<u64>,
        served: &[Arc<Target>],
        tools: &Tools,
    ) -> Result<Self, String> {
        let find = |model: &str| {
            let found = served.iter().find(|target| &**target.name() == model);
            found.cloned().ok_or_else(|| model.to_owned())
        };
        let mut seats = Vec::with_capacity(spec.targets.len() + spec.fallback.len());
        for part in &spec.targets {
            let target = find(&part.model)?;
            let luck = choose::key([part.model.as_str()]);
            seats.push(Seat { target, weight: part.weight, cap: part.cap, fallback: false, luck });
        }
        for model in &spec.fallback {
            seats.push(Seat { target: find(model)?, weight: 0, cap: None, fallback: true, luck: 0 });
        }
        let shade = match &spec.shadow {
            Some(shadow) => Some(Shade::new(shadow, find(&shadow.model)?, tools)),
            None => None,
        };
        Ok(Self {
            card: card(&spec.name, &seats),
            version,
            seats,
            budget: Mutex::new(Budget::new()),
            origin: Instant::now(),
            shade,
            metrics: tools.metrics.clone(),
            spec,
        })
    }

    /// What was asked for.
    pub(super) fn spec(&self) -> &RouteSpec {
        &self.spec
    }

    /// The version in the store; none where the configuration has it.
    pub(super) fn version(&self) -> Option<u64> {
        self.version
    }

    pub(super) fn card(&self) -> &ModelCard {
        &self.card
    }

    pub(super) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    pub(super) fn shade(&self) -> Option<&Shade> {
        self.shade.as_ref()
    }

    pub(super) fn metrics(&self) -> &Routing {
        &self.metrics
    }

    /// A request came: a share of an attempt more.
    pub(super) fn count_request(&self) {
        self.budget.lock().request(self.now());
    }

    /// Takes an attempt from the budget.
    pub(super) fn take_attempt(&self) -> bool {
        self.budget.lock().take(self.now())
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// The seats in the order in which a request asks them.
    pub(super) fn order(&self, subject: &str, prompt: Option<&Prompt>) -> Vec<usize> {
        let key = sticky_key(self.spec.sticky, subject, prompt);
        let mut dice = rand::rng();
        let weights: Vec<u32> = self.seats.iter().map(|seat| seat.weight).collect();
        let mut order = choose::order(&weights, |place| match key {
            Some(key) => choose::luck(key, self.seats.get(place).map_or(0, |seat| seat.luck)),
            None => 1.0 - dice.random::<f64>(),
        });
        let seat = |place: usize| self.seats.get(place);
        order.sort_by_key(|place| seat(*place).map(Seat::reluctance));
        if self.spec.balance == Balance::LeastOutstanding {
            let willing = order.partition_point(|place| seat(*place).is_some_and(|s| s.reluctance() == 0));
            if let Some(willing) = order.get_mut(..willing) {
                choose::lighter_first(willing, |place| seat(place).map_or(f64::MAX, Seat::load));
            }
        }
        order.extend((0..self.seats.len()).filter(|place| seat(*place).is_some_and(|seat| seat.fallback)));
        order
    }
}

/// What the name promises: what each of its targets can do.
fn card(name: &str, seats: &[Seat]) -> ModelCard {
    let cards = || seats.iter().filter(|seat| seat.weight > 0).map(|seat| seat.target.engine().card());
    let dimensions = cards().next().and_then(|card| card.embedding_dimensions);
    ModelCard {
        id: name.to_owned(),
        created: cards().map(|card| card.created).max().unwrap_or_default(),
        owned_by: cards().next().map(|card| card.owned_by.clone()).unwrap_or_default(),
        context_window: cards().map(|card| card.context_window).min().unwrap_or_default(),
        embedding_dimensions: dimensions
            .filter(|length| cards().all(|card| card.embedding_dimensions == Some(*length))),
    }
}

/// What requests have in common that are to go to one target.
fn sticky_key(sticky: Sticky, subject: &str, prompt: Option<&Prompt>) -> Option<u64> {
    match (sticky, prompt) {
        (Sticky::None, _) | (Sticky::Prefix, None) => None,
        (Sticky::Subject, _) | (Sticky::Conversation, None) => Some(choose::key([subject])),
        (Sticky::Conversation, Some(prompt)) => {
            let opening = opening(prompt);
            Some(choose::key(std::iter::once(subject).chain(opening.iter().map(String::as_str))))
        }
        (Sticky::Prefix, Some(prompt)) => {
            let mut left = PREFIX;
            let mut prefix = Vec::new();
            for text in texts(prompt) {
                let cut = text.floor_char_boundary(left.min(text.len()));
                prefix.push(text.get(..cut).unwrap_or_default().to_owned());
                left -= cut;
                if cut < text.len() || left == 0 {
                    break;
                }
            }
            Some(choose::key(prefix.iter().map(String::as_str)))
        }
    }
}

/// What all turns of a conversation begin with: everything to the first message of the user.
fn opening(prompt: &Prompt) -> Vec<String> {
    let Prompt::Chat(chat) = prompt else { return texts(prompt) };
    let first = chat.messages.iter().position(|message| message.role == Role::User);
    let until = first.map_or(chat.messages.len(), |first| first + 1);
    chat.messages.iter().take(until).map(text).collect()
}

fn texts(prompt: &Prompt) -> Vec<String> {
    match prompt {
        Prompt::Chat(chat) => chat.messages.iter().map(text).collect(),
        Prompt::Text(text) => vec![text.clone()],
        Prompt::Tokens(tokens) => tokens.iter().take(PREFIX).map(u32::to_string).collect(),
    }
}

fn text(message: &Message) -> String {
    match &message.content {
        None => String::new(),
        Some(Content::Text(text)) => text.clone(),
        Some(Content::Parts(parts)) => parts.iter().filter_map(part).collect(),
    }
}

fn part(part: &Part) -> Option<&str> {
    match part {
        Part::Text { text } => Some(text),
        Part::Refusal { refusal } => Some(refusal),
        Part::ImageUrl { .. } | Part::InputAudio { .. } | Part::File { .. } => None,
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route").field("spec", &self.spec).finish_non_exhaustive()
    }
}
