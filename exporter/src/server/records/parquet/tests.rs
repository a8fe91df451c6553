//! The files as other programs read them.

use std::fs;
use std::time::SystemTime;

use object_store::memory::InMemory;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;

use super::*;
use crate::records::wire::Record;
use crate::server::records::row;

fn morning() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_123)
}

fn batch(from: u32, count: u32) -> RecordBatch {
    let record = |number| Record {
        completion_tokens: number,
        first_token_ns: u64::from(number % 2) * 250_000_000,
        ..row::for_tests()
    };
    RecordBatch {
        instance: "gw-1".to_owned(),
        records: (from..from + count).map(record).collect(),
        ..RecordBatch::default()
    }
}

fn files(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// The column `completion_tokens`.
fn numbers(path: &std::path::Path) -> Vec<u32> {
    let reader = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(|row| row.unwrap().get_uint(17).unwrap()).collect()
}

#[test]
fn a_file_says_what_the_records_did() {
    let file = columns::write(&[batch(0, 1), batch(1, 1)]).unwrap();
    let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
    assert_eq!(rows.len(), 2);
    for part in [
        "duration_seconds: 1.5, instance: \"gw-1\", id: \"req-1\", trace_id: \"000102030405060708090a0b0c0d0e0f\"",
        "parent_span_id: \"\", route: \"create_chat_completion\"",
        "status: 200, outcome: \"ok\"",
        "completion_tokens: 1, queue_seconds: 0E0, first_token_seconds: 0.25, stream: false, weight: 10.0",
    ] {
        assert!(rows[1].contains(part), "{part} in {}", rows[1]);
    }
    assert!(rows[0].contains("first_token_seconds: null"), "{}", rows[0]);
}

#[tokio::test(start_paused = true)]
async fn a_file_is_written_when_there_is_enough_or_it_is_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("parquet");
    let settings = Settings { file_records: 4, ..Settings::default() };
    let mut sink = Parquet::in_folder(path.clone(), 2, settings.clone(), morning).unwrap();
    for from in 0..5 {
        sink.deliver(&batch(from * 2, 2)).await.unwrap();
    }
    assert_eq!(
        files(&path).iter().map(|file| numbers(file)).collect::<Vec<_>>(),
        [[0, 1, 2, 3], [4, 5, 6, 7]]
    );
    assert!(
        files(&path).iter().all(|file| fs::metadata(file).unwrap().permissions().mode() & 0o777 == 0o600)
    );
    sink.tidy().await.unwrap();
    assert_eq!(files(&path).len(), 2);
    tokio::time::advance(settings.file_age).await;
    sink.tidy().await.unwrap();
    let found: Vec<_> = files(&path).iter().map(|file| numbers(file)).collect();
    assert_eq!(found, [vec![4, 5, 6, 7], vec![8, 9]], "the oldest has left");
}

#[tokio::test]
async fn the_end_writes_what_was_gathered() {
    let store = Arc::new(InMemory::new());
    let files = Files::new(PathBuf::new(), tag(), SUFFIX, 1);
    let mut sink = Parquet::new(Arc::clone(&store) as _, files, Settings::default(), morning);
    sink.deliver(&batch(0, 3)).await.unwrap();
    sink.flush().await.unwrap();
    sink.flush().await.unwrap();
    assert_eq!(store.list_with_delimiter(None).await.unwrap().objects.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_kept_comes_again_and_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("parquet");
    let settings = Settings { file_records: 1, ..Settings::default() };
    let mut sink = Parquet::in_folder(path.clone(), 9, settings, morning).unwrap();
    sink.deliver(&batch(0, 1)).await.unwrap();
    fs::remove_dir(&path).unwrap();
    fs::write(&path, "in the way").unwrap();
    assert!(sink.deliver(&batch(1, 1)).await.is_err());
    assert!(sink.deliver(&batch(1, 1)).await.is_err());
    assert_eq!(sink.gathered(), 1);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    sink.deliver(&batch(1, 1)).await.unwrap();
    sink.flush().await.unwrap();
    assert_eq!(files(&path).iter().flat_map(|file| numbers(file)).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn what_could_not_be_kept_at_the_end_is_handed_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("parquet");
    let settings = Settings { file_records: 3, ..Settings::default() };
    let mut sink = Parquet::in_folder(path.clone(), 9, settings, morning).unwrap();
    fs::remove_dir(&path).unwrap();
    fs::write(&path, "in the way").unwrap();
    sink.deliver(&batch(0, 2)).await.unwrap();
    sink.deliver(&batch(2, 2)).await.unwrap();
    assert!(sink.tidy().await.is_err());
    assert!(sink.flush().await.is_err());
    assert_eq!(sink.gathered(), 4);
    assert_eq!(sink.give_back(), [batch(0, 2), batch(2, 2)]);
    assert_eq!(sink.gathered(), 0);
}
