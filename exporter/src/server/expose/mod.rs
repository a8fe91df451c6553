//! What a scrape is answered with: the families of all gateways side by side, each series with its gateway's name.

mod negotiate;
mod protobuf;
mod text;

use std::collections::BTreeMap;

pub use self::negotiate::Format;
pub(super) use self::negotiate::{Encoding, encoding, format};
use super::instances::Live;
use crate::protocol::metrics::{MetricFamily, MetricType};

/// One family of all gateways.
struct Merged<'a> {
    name: &'a str,
    help: &'a str,
    kind: MetricType,
    /// Each gateway's series; the exporter's own have no name.
    parts: Vec<(Option<&'a str>, &'a MetricFamily)>,
}

/// What a scrape is answered with, and how many families were left out because their name means something else already.
pub fn render(own: &[MetricFamily], live: &[Live], format: Format) -> (Vec<u8>, u64) {
    let (families, left_out) = merge(own, live);
    (write(&families, format), left_out)
}

/// Puts families of one name together, in the order of names. A name means one thing: of gateways that disagree about
/// its kind, only those of the first one's mind are shown. Says how many families were left out.
fn merge<'a>(own: &'a [MetricFamily], live: &'a [Live]) -> (Vec<Merged<'a>>, u64) {
    let own = own.iter().map(|family| (None, family));
    let theirs = live.iter().flat_map(|live| live.families.iter().map(|family| (Some(&*live.name), family)));
    let mut by_name: BTreeMap<&str, Merged<'a>> = BTreeMap::new();
    let mut left_out = 0;
    for (instance, family) in own.chain(theirs) {
        let kind = MetricType::try_from(family.r#type).unwrap_or(MetricType::Untyped);
        let merged = by_name.entry(&family.name).or_insert_with(|| Merged {
            name: &family.name,
            help: &family.help,
            kind,
            parts: Vec::new(),
        });
        if merged.kind == kind {
            merged.parts.push((instance, family));
        } else {
            left_out += 1;
        }
    }
    (by_name.into_values().collect(), left_out)
}

/// Writes families in a format.
fn write(families: &[Merged<'_>], format: Format) -> Vec<u8> {
    match format {
        Format::Text => text::write(families, false),
        Format::OpenMetrics => text::write(families, true),
        Format::Protobuf => protobuf::write(families),
    }
}

#[cfg(test)]
mod tests;
