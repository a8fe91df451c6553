//! The targets of what comes to an exporter and from callers' tracing: snapshots, request records, `traceparent`.

use std::collections::BTreeSet;
use std::time::Duration;

use exporter::protocol::metrics::MetricFamily;
use exporter::protocol::{self, Bounds, Snapshot};
use exporter::records::trace::TraceContext;
use exporter::records::wire::RecordBatch;
use exporter::server::check::{self, Limits};
use exporter::server::expose::{self, Format};
use exporter::server::instances::{Instances, Verdict};
use exporter::server::records::{Intake, Taken, ndjson};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::targets::{mark, words};

const BOUNDS: Bounds = Bounds { compressed: 1 << 20, decompressed: 8 << 20, messages: 20_000 };
const LIMITS: Limits = Limits { instances: 4, series: 1000, labels: 16 };

/// What a gateway pushes, before its compression and in its place: refused, or kept once and shown whole in every format.
///
/// # Panics
/// If a series is lost, there twice, or not in every format: that is the finding.
pub fn snapshot(bytes: &[u8]) -> u64 {
    drop(protocol::decode::<Snapshot>(bytes, BOUNDS));
    let snapshot: Snapshot = match protocol::decode(&pack(bytes), BOUNDS) {
        Ok(snapshot) => snapshot,
        Err(error) => return words(&error.to_string()),
    };
    let series = match check::check(&snapshot, &LIMITS) {
        Ok(series) => series,
        Err(fault) => return words(&fault.to_string()),
    };
    let instances = Instances::new(Duration::from_secs(15), Duration::from_mins(1), LIMITS.instances);
    assert_eq!(instances.take(snapshot.clone(), series, 0.0), Verdict::Accepted);
    assert_eq!(instances.take(snapshot, series, 0.0), Verdict::Repeated);
    let live = instances.scrape(None);
    let show = |format| expose::render(&[], &live, format).0;
    let (text, open, protobuf) = (show(Format::Text), show(Format::OpenMetrics), show(Format::Protobuf));
    let shown = lines(&text);
    assert_eq!(shown.len(), series, "a series is lost or there twice");
    assert!(open.ends_with(b"# EOF\n") && lines(&open) == shown, "the formats disagree");
    assert_eq!(protobuf.is_empty(), live.iter().all(|live| live.families.is_empty()));
    mark(&[series as u64 % 64, kinds(live.iter().flat_map(|live| live.families.iter()))])
}

/// The series of a text, with their values.
fn lines(text: &[u8]) -> BTreeSet<&[u8]> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    let names = lines.map(|line| {
        let end = line.iter().rposition(|byte| *byte == b' ').unwrap_or_default();
        line.get(..end).unwrap_or_default()
    });
    names.collect()
}

/// Which kinds of families there are, as bits.
fn kinds<'a>(families: impl Iterator<Item = &'a MetricFamily>) -> u64 {
    families.fold(0, |kinds, family| kinds | 1 << (family.r#type & 7))
}

/// Request records, before their compression: refused, or taken once and written as a JSON object each.
///
/// # Panics
/// If one is lost, or not JSON: that is the finding.
pub fn records(bytes: &[u8]) -> u64 {
    drop(protocol::decode::<RecordBatch>(bytes, BOUNDS));
    let batch: RecordBatch = match protocol::decode(&pack(bytes), BOUNDS) {
        Ok(batch) => batch,
        Err(error) => return words(&error.to_string()),
    };
    let written = match ndjson::lines(&batch) {
        Ok(written) => written,
        Err(error) => return words(&error.to_string()),
    };
    let lines = written.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let objects = lines.filter(|line| serde_json::from_slice::<serde_json::Value>(line).is_ok());
    assert_eq!(objects.count(), batch.records.len(), "a record is lost, or no JSON");
    let (count, longest) = (batch.records.len() as u64, written.len().checked_ilog2().unwrap_or_default());
    let intake = Intake::new(Vec::new(), 4);
    assert_eq!(intake.take(batch.clone()), Taken::Accepted);
    assert_eq!(intake.take(batch), Taken::Repeated);
    mark(&[count % 64, longest.into()])
}

/// A caller's `traceparent`: gone on with, or a trace begun; what is told to others is one either way.
///
/// # Panics
/// If it is not: that is the finding.
pub fn traceparent(bytes: &[u8]) -> u64 {
    let mut random = SmallRng::seed_from_u64(1);
    let context = TraceContext::of(Some(bytes), &mut random);
    let next = TraceContext::of(Some(context.traceparent().as_bytes()), &mut random);
    assert_eq!((next.trace_id, next.parent_id), (context.trace_id, Some(context.span_id)));
    assert_eq!(next.sampled, context.sampled);
    mark(&[u64::from(context.parent_id.is_some()), u64::from(context.sampled)])
}

/// As it comes over the wire.
fn pack(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 1).unwrap_or_default()
}
