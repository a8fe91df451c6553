//! The newest snapshot of each gateway is shown, for as long as it pushes, and nothing is added up.

use std::time::Duration;

use crate::support::{Exporter, gauge, pass, refusal, snapshot, text, value};

const SILENCE: Duration = Duration::from_secs(15);
const NOT_YET: Duration = Duration::from_secs(13);
const REMEMBER: Duration = Duration::from_hours(1);
const A: &str = "work_total{instance=\"a\"}";
const UP: &str = "exporter_instance_up{instance=\"a\"}";

fn outcome(name: &str) -> String {
    format!("exporter_snapshots_total{{outcome=\"{name}\"}}")
}

#[tokio::test]
async fn a_late_older_snapshot_changes_nothing_and_is_counted() {
    let exporter = Exporter::start().await;
    assert_eq!(exporter.push(&snapshot("a", (10, 2), 100.0)).await, 204);
    for older in [(10, 1), (9, 900)] {
        let answer = exporter.answer(&snapshot("a", older, 90.0)).await;
        assert_eq!(refusal(&answer), (409, "stale".to_owned()));
    }
    let metrics = exporter.metrics().await;
    assert_eq!((value(&metrics, A), value(&metrics, &outcome("stale"))), (Some(100.0), Some(2.0)));
}

#[tokio::test]
async fn a_repeat_is_welcome_and_changes_nothing() {
    let exporter = Exporter::start().await;
    exporter.push(&snapshot("a", (10, 2), 100.0)).await;
    // The same number with other contents is no better.
    assert_eq!(exporter.push(&snapshot("a", (10, 2), 7.0)).await, 204);
    let metrics = exporter.metrics().await;
    assert_eq!((value(&metrics, A), value(&metrics, &outcome("repeated"))), (Some(100.0), Some(1.0)));
    assert_eq!(value(&metrics, &outcome("accepted")), Some(1.0));
}

#[tokio::test]
async fn a_new_process_replaces_the_old_wholly_even_with_a_lower_sequence() {
    let exporter = Exporter::start().await;
    let mut old = snapshot("a", (10, 900), 100.0);
    old.families.push(gauge("only_old", &[], 1.0));
    exporter.push(&old).await;
    assert_eq!(exporter.value(A).await, Some(100.0));
    assert_eq!(exporter.push(&snapshot("a", (11, 1), 3.0)).await, 204);
    let metrics = exporter.metrics().await;
    assert_eq!(value(&metrics, A), Some(3.0));
    assert!(!metrics.contains("only_old"), "{metrics}");
}

#[tokio::test]
async fn what_a_killed_process_pushed_last_is_scraped_once_before_its_successor() {
    let exporter = Exporter::start().await;
    exporter.push(&snapshot("a", (10, 1), 90.0)).await;
    assert_eq!(exporter.value(A).await, Some(90.0));
    // Pushed after that scrape; then the process is killed and another takes its place.
    exporter.push(&snapshot("a", (10, 2), 100.0)).await;
    exporter.push(&snapshot("a", (11, 1), 0.0)).await;
    exporter.push(&snapshot("a", (11, 2), 4.0)).await;
    assert_eq!(exporter.push(&snapshot("a", (10, 3), 101.0)).await, 409);
    assert_eq!(exporter.value(A).await, Some(100.0));
    assert_eq!(exporter.value(A).await, Some(4.0));
}

#[tokio::test]
async fn two_gateways_stand_beside_each_other_and_are_never_summed() {
    let exporter = Exporter::start().await;
    exporter.push(&snapshot("a", (10, 1), 100.0)).await;
    exporter.push(&snapshot("b", (12, 1), 40.0)).await;
    let metrics = exporter.metrics().await;
    let lines: Vec<&str> = metrics.lines().filter(|line| line.contains("work_total")).collect();
    let expected = [
        "# HELP work_total About work_total.",
        "# TYPE work_total counter",
        "work_total{instance=\"a\"} 100",
        "work_total{instance=\"b\"} 40",
    ];
    assert_eq!(lines, expected);
    assert_eq!(value(&metrics, "exporter_instances"), Some(2.0));
    assert_eq!(value(&metrics, "exporter_series"), Some(2.0));
}

#[tokio::test]
async fn a_silent_gateway_loses_its_series_and_is_remembered_as_down() {
    let exporter = Exporter::start().await;
    exporter.push(&snapshot("a", (10, 1), 100.0)).await;
    pass(NOT_YET).await;
    let metrics = exporter.metrics().await;
    assert_eq!((value(&metrics, A), value(&metrics, UP)), (Some(100.0), Some(1.0)));

    pass(SILENCE.saturating_sub(NOT_YET)).await;
    let metrics = exporter.metrics().await;
    assert_eq!((value(&metrics, A), value(&metrics, UP)), (None, Some(0.0)));
    assert!(value(&metrics, "exporter_instance_last_push_seconds{instance=\"a\"}").unwrap() > 1.7e9);
    assert_eq!(value(&metrics, "exporter_series"), Some(0.0));
    assert_eq!(value(&metrics, "exporter_instances"), Some(0.0));

    exporter.push(&snapshot("a", (10, 5), 130.0)).await;
    let metrics = exporter.metrics().await;
    assert_eq!((value(&metrics, A), value(&metrics, UP)), (Some(130.0), Some(1.0)), "back at once");

    pass(REMEMBER).await;
    let metrics = exporter.metrics().await;
    assert!(!metrics.contains("instance=\"a\""), "{metrics}");
}

#[tokio::test]
async fn a_final_snapshot_stays_for_the_ordinary_silence_and_is_forgotten_soon() {
    let exporter = Exporter::start().await;
    let mut last = snapshot("a", (10, 2), 100.0);
    last.r#final = true;
    exporter.push(&last).await;
    pass(NOT_YET).await;
    assert_eq!(exporter.value(A).await, Some(100.0));
    pass(SILENCE.saturating_sub(NOT_YET)).await;
    let metrics = exporter.metrics().await;
    assert_eq!((value(&metrics, A), value(&metrics, UP)), (None, Some(0.0)));
    pass(SILENCE).await;
    assert_eq!(exporter.value(UP).await, None);
}

#[tokio::test]
async fn one_gateway_alone_can_be_asked_for_while_it_lives() {
    let exporter = Exporter::start().await;
    exporter.push(&snapshot("a", (10, 1), 1.0)).await;
    exporter.push(&snapshot("gate way/ü", (10, 1), 2.0)).await;
    let one = text(&exporter.get("/metrics?instance=gate%20way%2F%C3%BC").await);
    assert_eq!(
        one,
        "# HELP work_total About work_total.\n# TYPE work_total counter\nwork_total{instance=\"gate way/ü\"} 2\n"
    );
    pass(SILENCE).await;
    for name in ["a", "nobody", ""] {
        let answer = exporter.get(&format!("/metrics?instance={name}")).await;
        assert_eq!(refusal(&answer), (404, "instance".to_owned()), "{name}");
    }
}
