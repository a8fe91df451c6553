//! Records as Parquet files in a bucket of a real service that speaks S3.

#![cfg(feature = "s3")]

#[path = "support/service.rs"]
mod service;
mod support;

use exporter::server::records::parquet::{Bucket, Parquet, Settings};
use exporter::server::records::{Sink, wall_clock};
use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::file::reader::{FileReader, SerializedFileReader};

#[tokio::test]
#[ignore = "needs a service that speaks S3 with a bucket `records`: EXPORTER_TEST_S3=http://HOST:PORT"]
async fn every_record_is_in_a_file_of_the_bucket() {
    let address = service::address("EXPORTER_TEST_S3", "http://HOST:PORT");
    let start = support::now_ns();
    let bucket = Bucket {
        name: "records".to_owned(),
        prefix: format!("{start}/"),
        region: "local".to_owned(),
        endpoint: Some(address.clone()),
        key_id: "any".to_owned(),
        key: "any".to_owned(),
    };
    let settings = Settings { file_records: 500, ..Settings::default() };
    let mut sink = Parquet::in_bucket(bucket, settings, wall_clock).unwrap();
    for from in 0..3 {
        sink.deliver(&support::batch(start + from * 1_000_000, 500)).await.unwrap();
    }
    sink.flush().await.unwrap();
    let builder = AmazonS3Builder::new().with_bucket_name("records").with_region("local");
    let builder = builder.with_access_key_id("any").with_secret_access_key("any");
    let store = builder.with_endpoint(address).with_allow_http(true).build().unwrap();
    let prefix = object_store::path::Path::from(start.to_string());
    let files = store.list_with_delimiter(Some(&prefix)).await.unwrap().objects;
    assert_eq!(files.len(), 3);
    let mut rows = 0;
    for file in files {
        let whole = store.get(&file.location).await.unwrap().bytes().await.unwrap();
        rows += SerializedFileReader::new(whole).unwrap().metadata().file_metadata().num_rows();
    }
    assert_eq!(rows, 1500);
}
