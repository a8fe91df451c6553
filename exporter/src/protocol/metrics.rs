//! Prometheus' own data model (`io.prometheus.client`), as far as a registry of counters, gauges and histograms needs it.
//!
//! Field numbers are those of Prometheus' `metrics.proto`, so that a scrape can be answered with the same messages.

/// Series of one name.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricFamily {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What it is, for people.
    #[prost(string, tag = "2")]
    pub help: String,
    /// What kind of numbers.
    #[prost(enumeration = "MetricType", tag = "3")]
    pub r#type: i32,
    /// The series.
    #[prost(message, repeated, tag = "4")]
    pub metric: Vec<Metric>,
}

/// What kind of numbers a family has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MetricType {
    /// Only grows.
    Counter = 0,
    /// Goes up and down.
    Gauge = 1,
    /// Quantiles; refused here, for they cannot be summed.
    Summary = 2,
    /// Who knows.
    Untyped = 3,
    /// Counts in buckets.
    Histogram = 4,
}

/// One series.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metric {
    /// What tells it from the others of its family.
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    /// Its value, in a family of gauges.
    #[prost(message, optional, tag = "2")]
    pub gauge: Option<Value>,
    /// Its value, in a family of counters.
    #[prost(message, optional, tag = "3")]
    pub counter: Option<Value>,
    /// Its value, in a family of histograms.
    #[prost(message, optional, tag = "7")]
    pub histogram: Option<Histogram>,
}

/// A label.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct LabelPair {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A counter's or a gauge's value.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Value {
    /// The number.
    #[prost(double, tag = "1")]
    pub value: f64,
}

/// A histogram's value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Histogram {
    /// Observations.
    #[prost(uint64, tag = "1")]
    pub sample_count: u64,
    /// Their sum.
    #[prost(double, tag = "2")]
    pub sample_sum: f64,
    /// Observations up to each bound.
    #[prost(message, repeated, tag = "3")]
    pub bucket: Vec<Bucket>,
}

/// Observations up to a bound.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Bucket {
    /// How many.
    #[prost(uint64, tag = "1")]
    pub cumulative_count: u64,
    /// The bound, itself included.
    #[prost(double, tag = "2")]
    pub upper_bound: f64,
}
