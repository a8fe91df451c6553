//! What goes over the wire: a snapshot of all metrics of one process, with its place in time.

mod codec;
mod convert;
pub mod metrics;
mod survey;

pub use self::codec::{Bounds, CodecError, decode, encode};
pub use self::convert::families;
use self::metrics::MetricFamily;
pub use self::survey::{Shape, Shaped};

/// The version of this protocol.
pub const VERSION: u32 = 1;
/// Where snapshots are posted.
pub const PUSH_PATH: &str = "/v1/push";
/// The type of the body, before its compression.
pub const CONTENT_TYPE: &str = "application/x-protobuf";
/// The body's compression.
pub const CONTENT_ENCODING: &str = "zstd";

/// All metrics of one process at one moment. Cumulative: the newest says all that those before it did.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Snapshot {
    /// [`VERSION`].
    #[prost(uint32, tag = "1")]
    pub protocol: u32,
    /// The name of the process among its like; the label `instance` of every series.
    #[prost(string, tag = "2")]
    pub instance: String,
    /// When the process began, Unix milliseconds: a later life of the same name is newer whatever its sequence.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    /// Counts the snapshots of one life.
    #[prost(uint64, tag = "4")]
    pub sequence: u64,
    /// The process ends, and this is its last.
    #[prost(bool, tag = "5")]
    pub r#final: bool,
    /// The metrics.
    #[prost(message, repeated, tag = "6")]
    pub families: Vec<MetricFamily>,
}

impl Shaped for Snapshot {
    // Families → metrics → labels, and histograms → buckets.
    const SHAPE: Shape =
        Shape(&[(6, Shape(&[(4, Shape(&[(1, Shape(&[])), (7, Shape(&[(3, Shape(&[]))]))]))]))]);
}
