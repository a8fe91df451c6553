//! Names of conversations, responses and their items.

use rand::RngExt as _;

/// A fresh id, such as `conv_…`. Nobody guesses it, though knowing it opens nothing.
pub fn fresh(prefix: &str) -> String {
    let number: u128 = rand::rng().random();
    format!("{prefix}_{number:032x}")
}

/// The id of a response's item by its place: whoever follows the answer gives it the same one.
pub fn of_item(prefix: &str, response: &str, place: usize) -> String {
    let own = response.split_once(['_', '-']).map_or(response, |(_, own)| own);
    format!("{prefix}_{own}{place:04x}")
}

/// Whether a client's id can be one: nothing else is looked for.
pub fn is_id(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}
