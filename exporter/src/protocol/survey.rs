//! How many messages there are in encoded bytes, told before room is made for any of them.
//!
//! Two bytes can ask for a struct of hundreds, so a bound on bytes alone lets a small body take gigabytes.

use prost::DecodeError;
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// Which fields of a message hold messages that can be there many times, and what is in those.
#[derive(Debug)]
pub struct Shape(pub &'static [(u32, Shape)]);

/// A message that is counted before it is read.
pub trait Shaped {
    /// Its fields.
    const SHAPE: Shape;
}

/// Counts messages within `message`, up to one more than `most`. Where the bytes are no message the count ends, as
/// reading them does.
pub(super) fn count(message: &[u8], shape: &Shape, most: usize) -> usize {
    let mut counted = 0;
    // What is malformed is told by whoever reads it.
    drop(walk(message, shape, &mut |()| {
        counted += 1;
        counted <= most
    }));
    counted
}

/// Calls `each` for each message within, until it says that it has enough; whether it has not.
fn walk(mut rest: &[u8], shape: &Shape, each: &mut impl FnMut(()) -> bool) -> Result<bool, DecodeError> {
    while rest.has_remaining() {
        let (tag, wire) = decode_key(&mut rest)?;
        if wire != WireType::LengthDelimited {
            skip_field(wire, tag, &mut rest, DecodeContext::default())?;
            continue;
        }
        let length = usize::try_from(decode_varint(&mut rest)?).unwrap_or(usize::MAX);
        // One that breaks off may hold whole ones, which would be read.
        let (field, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        rest = after;
        if let Some((_, inner)) = shape.0.iter().find(|(known, _)| *known == tag)
            && !(each(()) && walk(field, inner, each)?)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::super::metrics::{Bucket, Histogram, LabelPair, Metric, MetricFamily};
    use super::super::{Bounds, CodecError, Snapshot, decode};
    use super::*;
    use crate::records::wire::{Record, RecordBatch};

    fn refused<M: prost::Message + Default + Shaped>(plain: &[u8], messages: usize) -> bool {
        let body = zstd::bulk::compress(plain, 1).unwrap();
        matches!(
            decode::<M>(&body, Bounds { messages, ..Bounds::default() }),
            Err(CodecError::TooMany(most)) if most == messages
        )
    }

    #[test]
    fn every_message_that_can_be_there_many_times_counts() {
        let label = LabelPair { name: "a".to_owned(), value: "b".to_owned() };
        let histogram = Histogram { bucket: vec![Bucket::default(); 5], ..Histogram::default() };
        let metric = Metric { label: vec![label; 3], histogram: Some(histogram), ..Metric::default() };
        let family = MetricFamily { metric: vec![metric, Metric::default()], ..MetricFamily::default() };
        let snapshot = Snapshot { families: vec![family; 2], ..Snapshot::default() }.encode_to_vec();
        // A family, its two metrics, three labels, a histogram, five buckets; twice.
        assert!(!refused::<Snapshot>(&snapshot, 24) && refused::<Snapshot>(&snapshot, 23));
        let batch = RecordBatch { records: vec![Record::default(); 7], ..RecordBatch::default() };
        let batch = batch.encode_to_vec();
        assert!(!refused::<RecordBatch>(&batch, 7) && refused::<RecordBatch>(&batch, 6));
    }

    #[test]
    fn a_small_body_cannot_ask_for_much_memory() {
        // 16 million records of 2 bytes each, in a body of a few kilobytes.
        let bomb = [0x2a, 0].repeat(16 << 20);
        assert!(zstd::bulk::compress(&bomb, 1).unwrap().len() < 8 << 10);
        assert!(refused::<RecordBatch>(&bomb, 10_000));
        assert!(refused::<Snapshot>(&[0x32, 0].repeat(16 << 20), 10_000));
    }

    proptest! {
        #[test]
        fn no_more_is_read_than_was_counted(
            bytes in prop::collection::vec(prop_oneof![Just(0x32_u8), Just(0x22), Just(0x0a), 0_u8..12, any::<u8>()], 0..60),
        ) {
            if let Ok(snapshot) = Snapshot::decode(&*bytes) {
                let metrics = snapshot.families.iter().flat_map(|family| &family.metric);
                let inner = |metric: &Metric| {
                    metric.label.len() + metric.histogram.as_ref().map_or(0, |histogram| histogram.bucket.len())
                };
                let read = snapshot.families.len() + metrics.map(|metric| 1 + inner(metric)).sum::<usize>();
                prop_assert!(read <= count(&bytes, &Snapshot::SHAPE, usize::MAX));
            }
        }
    }
}
