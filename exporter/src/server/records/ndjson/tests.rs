//! The files as they are found afterwards.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use serde_json::Value;

use super::*;
use crate::server::records::row;

fn morning() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_123)
}

fn settings(folder: &Path) -> Settings {
    let (file_bytes, file_age) = (1 << 20, Duration::from_hours(1));
    Settings { folder: folder.join("records"), file_bytes, file_age, files: 3 }
}

fn batch(ids: &[&str]) -> RecordBatch {
    let records =
        ids.iter().map(|id| crate::records::wire::Record { id: (*id).to_owned(), ..row::for_tests() });
    RecordBatch { instance: "gw-1".to_owned(), records: records.collect(), ..RecordBatch::default() }
}

/// The names with the ids in them.
fn found(settings: &Settings) -> Vec<(String, Vec<String>)> {
    let mut files: Vec<_> = fs::read_dir(&settings.folder)
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let text = fs::read_to_string(&path).unwrap();
            let ids = text.lines().map(|line| {
                let row: Value = serde_json::from_str(line).unwrap();
                row["id"].as_str().unwrap().to_owned()
            });
            (path.file_name().unwrap().to_string_lossy().into_owned(), ids.collect())
        })
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn batches_follow_one_another_in_a_file_named_by_time() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let mut sink = Ndjson::new(settings.clone(), morning);
    sink.deliver(&batch(&["a", "b"])).await.unwrap();
    sink.deliver(&batch(&["c"])).await.unwrap();
    let expected =
        [("requests-20260921T141320.123Z.ndjson".to_owned(), vec!["a".into(), "b".into(), "c".into()])];
    assert_eq!(found(&settings), expected);
    sink.flush().await.unwrap();
    // Another life, at the same moment.
    let mut sink = Ndjson::new(settings.clone(), morning);
    sink.deliver(&batch(&["d"])).await.unwrap();
    assert_eq!(
        found(&settings).pop().unwrap(),
        ("requests-20260921T141320.124Z.ndjson".into(), vec!["d".into()])
    );
}

#[tokio::test]
async fn a_full_file_is_followed_by_another_and_only_the_newest_stay() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { file_bytes: 1, ..settings(folder.path()) };
    let mut sink = Ndjson::new(settings.clone(), morning);
    for id in ["a", "b", "c", "d", "e"] {
        sink.deliver(&batch(&[id])).await.unwrap();
    }
    let ids: Vec<_> = found(&settings).into_iter().flat_map(|(_, ids)| ids).collect();
    assert_eq!(ids, ["c", "d", "e"]);
}

#[tokio::test(start_paused = true)]
async fn an_old_file_is_followed_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let mut sink = Ndjson::new(settings.clone(), morning);
    sink.deliver(&batch(&["a"])).await.unwrap();
    tokio::time::advance(Duration::from_hours(1)).await;
    sink.deliver(&batch(&["b"])).await.unwrap();
    assert_eq!(found(&settings).len(), 2);
}

#[tokio::test]
async fn what_cannot_be_written_may_be_later() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    fs::write(&settings.folder, "in the way").unwrap();
    let mut sink = Ndjson::new(settings.clone(), morning);
    assert!(matches!(sink.deliver(&batch(&["a"])).await, Err(SinkError::Later { .. })));
    fs::remove_file(&settings.folder).unwrap();
    sink.deliver(&batch(&["a"])).await.unwrap();
    assert_eq!(found(&settings).len(), 1);
}
