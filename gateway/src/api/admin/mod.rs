//! The admin API: who may do what, changed while requests run.

pub mod access;
pub mod audit;
pub mod data;
pub mod diagnostics;
pub mod keys;
pub mod models;
pub mod residency;
pub mod roles;
pub mod subjects;
mod tagged;
pub mod tokens;
pub mod usage;

use poem_openapi::param::Query;

pub use self::tagged::{Tagged, expected};
use crate::error::ApiError;

/// Things of a page where none is asked for.
const PAGE: usize = 100;
/// Things of a page at most.
const LONGEST_PAGE: usize = 1000;

/// How many things a page is to have.
fn page_size(limit: &Query<Option<u32>>) -> Result<usize, ApiError> {
    match limit.0 {
        None => Ok(PAGE),
        Some(limit) => {
            usize::try_from(limit).ok().filter(|size| (1..=LONGEST_PAGE).contains(size)).ok_or_else(|| {
                ApiError::invalid(format!("must be from 1 to {LONGEST_PAGE}")).with_param("limit")
            })
        }
    }
}

/// A page out of what was read with one more than it may have.
fn page<T>(mut data: Vec<T>, size: usize) -> openapi::admin::List<T> {
    let has_more = data.len() > size;
    data.truncate(size);
    openapi::admin::List::new(data, has_more)
}

#[cfg(test)]
mod tests;
