//! Prometheus' protobuf format: one message a family, each behind its length.

use prost::Message;

use super::Merged;
use crate::protocol::metrics::{LabelPair, MetricFamily};
use crate::server::check::INSTANCE;

pub(super) fn write(families: &[Merged<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for family in families {
        let mut whole = MetricFamily {
            name: family.name.to_owned(),
            help: family.help.to_owned(),
            r#type: family.kind.into(),
            metric: Vec::new(),
        };
        for (instance, part) in &family.parts {
            let named = instance.map(|name| LabelPair { name: INSTANCE.to_owned(), value: name.to_owned() });
            whole.metric.extend(part.metric.iter().cloned().map(|mut metric| {
                metric.label.extend(named.clone());
                // As Prometheus' own client sorts them.
                metric.label.sort_unstable_by(|one, other| one.name.cmp(&other.name));
                metric
            }));
        }
        // A vector grows as it is written to.
        let _written = whole.encode_length_delimited(&mut out);
    }
    out
}
