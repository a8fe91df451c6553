//! Models as they are served: the routes that stand before them, and how their targets are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What names of routes are made of: models are named with `/` too.
const NAME: &str = "^[A-Za-z0-9._@:+|/-]*$";

/// A name that stands for one or several models: who answers, and who does where they cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// The name clients use. May be a model's own: the route then stands before the model. Where a path names the
    /// route it may be left out.
    #[schemars(length(max = 256), regex(pattern = NAME))]
    #[serde(default)]
    pub name: String,
    /// The models that share the requests.
    #[schemars(length(min = 1, max = 64))]
    pub targets: Vec<RouteTarget>,
    /// Models that are asked, in this order, where none of the targets answers.
    #[schemars(length(max = 64))]
    #[serde(default)]
    pub fallback: Vec<String>,
    /// How a target is chosen.
    #[serde(default)]
    pub balance: Balance,
    /// Which requests go to one target as long as it answers.
    #[serde(default)]
    pub sticky: Sticky,
    /// Further attempts among the targets, before the fallbacks.
    #[schemars(range(max = 10))]
    #[serde(default = "two")]
    pub retries: u32,
    /// A model that gets copies of requests; what it answers is discarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
}

/// A model of a route, and its part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteTarget {
    /// The model's name.
    pub model: String,
    /// Its part of the requests, beside the others' weights; 0 takes it out.
    #[schemars(range(max = 1_000_000))]
    #[serde(default = "one")]
    pub weight: u32,
    /// Requests that it has at once, whoever sent them, before the route goes to others.
    #[schemars(range(min = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<u32>,
}

/// How a target is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// By weight alone.
    #[default]
    Weight,
    /// Of two that are drawn by weight, the one with fewer requests at once for its weight.
    LeastOutstanding,
}

/// Which requests go to one target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sticky {
    /// Each goes where it is drawn.
    #[default]
    None,
    /// Those of a subject.
    Subject,
    /// Those of a subject that begin with the same messages, to the first of the user: the turns of a conversation.
    Conversation,
    /// Those whose prompts begin with the same text, whoever sends them.
    Prefix,
}

/// Copies of requests for a model on trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shadow {
    /// The model's name.
    pub model: String,
    /// Of a hundred requests, so many are copied.
    #[schemars(range(min = 1, max = 100))]
    pub percent: u32,
    /// Copies at once; more are not made.
    #[schemars(range(min = 1, max = 1024))]
    #[serde(default = "four")]
    pub at_once: u32,
}

fn one() -> u32 {
    1
}

fn two() -> u32 {
    2
}

fn four() -> u32 {
    4
}

/// A route as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRoute {
    /// What it is.
    pub spec: RouteSpec,
    /// Grows with each change.
    pub version: u64,
}

/// A name that requests may use, and who answers to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServedModel {
    /// The name.
    pub name: String,
    /// The route, where the name is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteSpec>,
    /// Comes from the configuration: it is changed there.
    pub configured: bool,
    /// Grows with each change; the `ETag`. 0 for what is configured.
    pub version: u64,
    /// Who answers: targets first, then fallbacks, then the shadow.
    pub targets: Vec<TargetState>,
}

/// A model behind a name, as this replica sees it at this moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetState {
    /// The model's name.
    pub model: String,
    /// What it is for.
    pub part: TargetPart,
    /// Its part of the requests; 0 for what is no target.
    pub weight: u32,
    /// Requests at once that the route allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<u32>,
    /// Whether it is served here and answered when it was last asked how it is.
    pub healthy: bool,
    /// Whether it is sent requests, by how they ended lately.
    pub breaker: BreakerState,
    /// Requests that it has at this moment.
    pub outstanding: u32,
    /// Where it is between disk and memory; only of models of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Residency>,
}

/// Where a model of this machine is between disk and memory, and who uses it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Residency {
    /// Where it is.
    pub state: LoadState,
    /// While it is loaded: the share that is done, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// Why it is not in memory, where the last attempt to load it failed or was called off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Bytes of its weights, which a model and its adapters share.
    pub weights_bytes: u64,
    /// Bytes that it has of its own when loaded: KV cache, compute buffers, kept prefixes at most.
    pub own_bytes: u64,
    /// Requests that use it.
    pub in_use: u32,
    /// Requests that wait for it to be loaded.
    pub waiting: u32,
    /// Whether it stays in memory when others need room.
    pub pinned: bool,
    /// When the last request that used it ended, seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<u64>,
}

/// Where a model of this machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoadState {
    /// On disk alone; the first request for it has it loaded.
    Unloaded,
    /// Waits for another model's load, or for room in memory.
    Queued,
    /// Being loaded.
    Loading,
    /// In memory.
    Ready,
    /// Answers those that it began with, then goes.
    Draining,
    /// Gives its memory back.
    Unloading,
    /// Could not be loaded.
    Failed,
}

/// What a load may say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadRequest {
    /// For a name that is not served yet: the model's file in `models/` of the data folder. It is served until the
    /// gateway ends, with the settings of the first configured model of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// What a model is for in a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetPart {
    /// Shares the requests.
    Target,
    /// Asked where no target answers.
    Fallback,
    /// Gets copies.
    Shadow,
}

/// Whether a target is sent requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// It is.
    Closed,
    /// It is not: too many failed.
    Open,
    /// One is, to see how it ends.
    HalfOpen,
}
