//! What is counted, and that no flood of names makes more than a bounded number of series.

#![expect(clippy::float_cmp, reason = "values are those that were set")]

use std::time::Duration;

use prometheus::proto::MetricFamily;
use proptest::prelude::*;

use super::Metrics;
use crate::clock::Clock;

fn family(metrics: &Metrics, name: &str) -> MetricFamily {
    metrics.gather().into_iter().find(|family| family.name() == name).unwrap()
}

/// The one series of a family that has these labels.
fn value(metrics: &Metrics, name: &str, labels: &[(&str, &str)]) -> f64 {
    let family = family(metrics, name);
    let fits = |metric: &&prometheus::proto::Metric| {
        labels.iter().all(|(name, value)| {
            metric.get_label().iter().any(|label| label.name() == *name && label.value() == *value)
        })
    };
    let metric = family.get_metric().iter().find(fits).unwrap();
    let histogram = metric.get_histogram().get_sample_count() as f64;
    metric.get_counter().get_value() + metric.get_gauge().get_value() + histogram
}

#[test]
fn a_request_is_in_flight_until_its_answer_is_dropped() {
    let metrics = Metrics::default();
    let route = metrics.http.route("POST", "create");
    let mut open = route.begin();
    assert_eq!(value(&metrics, "http_requests_in_flight", &[("route", "create")]), 1.0);
    open.answered(200, None);
    let body = open.shared();
    assert_eq!(value(&metrics, "http_requests_in_flight", &[("route", "create")]), 1.0);
    drop(body);
    assert_eq!(value(&metrics, "http_requests_in_flight", &[("route", "create")]), 0.0);
    let labels = [("method", "POST"), ("route", "create"), ("status", "200")];
    assert_eq!(value(&metrics, "http_requests_total", &labels), 1.0);
    assert_eq!(value(&metrics, "http_request_duration_seconds", &[("route", "create")]), 1.0);
}

#[test]
fn a_client_that_leaves_before_its_answer_is_counted_as_such() {
    let metrics = Metrics::default();
    drop(metrics.http.route("POST", "create").begin());
    assert_eq!(value(&metrics, "http_requests_total", &[("status", "499")]), 1.0);
}

#[test]
fn a_refused_request_is_counted_by_its_reason() {
    let metrics = Metrics::default();
    metrics.http.route("GET", "list").begin().answered(404, Some("not_found"));
    assert_eq!(value(&metrics, "request_errors_total", &[("route", "list"), ("reason", "not_found")]), 1.0);
}

#[test]
fn a_budget_is_that_of_the_subject_nearest_its_end_until_the_day_is_over() {
    let clock = Clock::manual(1_000);
    let metrics = Metrics::new(&clock);
    let role = [("role", "user")];
    metrics.access.spent("user", 0.5, Duration::from_mins(1));
    metrics.access.spent("user", 0.9, Duration::from_mins(1));
    metrics.access.spent("user", 0.1, Duration::from_mins(1));
    assert_eq!(value(&metrics, "admission_budget_used_ratio", &role), 0.9);
    clock.advance(60_000);
    assert_eq!(value(&metrics, "admission_budget_used_ratio", &role), 0.0);
    metrics.access.spent("user", 0.2, Duration::from_mins(1));
    assert_eq!(value(&metrics, "admission_budget_used_ratio", &role), 0.2);
}

#[tokio::test]
async fn a_store_is_degraded_from_its_first_failure_to_its_next_success() {
    let metrics = Metrics::default();
    let store = metrics.stores.of("limits");
    let refused: Result<(), &str> = store.time("take", |_| false, async { Err("refused") }).await;
    assert_eq!((refused, value(&metrics, "store_degraded", &[("store", "limits")])), (Err("refused"), 0.0));
    let broken: Result<(), &str> = store.time("take", |_| true, async { Err("away") }).await;
    assert_eq!((broken, value(&metrics, "store_degraded", &[("store", "limits")])), (Err("away"), 1.0));
    let labels = [("store", "limits"), ("operation", "take")];
    assert_eq!(value(&metrics, "store_errors_total", &labels), 1.0);
    assert_eq!(store.time("take", |()| true, async { Ok(1) }).await, Ok(1));
    assert_eq!(value(&metrics, "store_degraded", &[("store", "limits")]), 0.0);
    assert_eq!(value(&metrics, "store_operation_seconds", &labels), 3.0);
}

#[test]
fn what_is_sampled_is_looked_at_before_every_snapshot() {
    let metrics = Metrics::default();
    let model = metrics.models.of("m");
    metrics.sample({
        let model = std::sync::Arc::clone(&model);
        move || model.running.inc()
    });
    assert_eq!(value(&metrics, "model_requests_running", &[("model", "m")]), 1.0);
    assert_eq!(value(&metrics, "model_requests_running", &[("model", "m")]), 2.0);
}

proptest! {
    #[test]
    fn no_flood_of_names_makes_more_series_than_are_stated(names in prop::collection::vec(any::<String>(), 300)) {
        let metrics = Metrics::default();
        for name in &names {
            metrics.models.of(name).finished("stop");
            metrics.access.refused(name, "tokens");
            metrics.access.spent(name, 0.5, Duration::from_mins(1));
        }
        let families = [
            ("model_loaded", 1),
            // One for each way to end.
            ("model_finish_total", 6),
            ("admission_refused_total", 1),
            ("admission_budget_used_ratio", 1),
        ];
        for (family, each) in families {
            let series = self::family(&metrics, family).get_metric().len();
            prop_assert!(series <= (super::MOST_VALUES + 1) * each, "{family}: {series}");
        }
    }
}
