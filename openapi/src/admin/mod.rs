//! The admin API: roles, subjects, keys, the audit, and what the caller itself may do.

pub mod access;
pub mod audit;
pub mod data;
pub mod keys;
pub mod log;
pub mod models;
pub mod policy;
pub mod roles;
pub mod subjects;
pub mod tokens;
pub mod usage;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// What names of roles and ids of subjects are made of.
pub(crate) const NAME: &str = "^[A-Za-z0-9._@:+|-]+$";

/// A page of things, in a stated order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub struct List<T> {
    /// Always `list`.
    pub object: crate::models::ListObject,
    /// The things.
    pub data: Vec<T>,
    /// Whether there are more behind the last one; ask for them with `after`.
    pub has_more: bool,
}

impl<T> List<T> {
    /// A page.
    pub fn new(data: Vec<T>, has_more: bool) -> Self {
        Self { object: crate::models::ListObject::List, data, has_more }
    }
}

/// A thing was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deleted {
    /// Its name or id.
    pub id: String,
    /// Always true.
    pub deleted: bool,
}

/// Tells a field that is `null` from one that is not there: in a change, `null` takes a bound away.
#[expect(clippy::option_option, reason = "absent, null and a value are three things in a change")]
pub(crate) fn present<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}
