//! What clients see of an error.

use std::time::Duration;

use poem::http::StatusCode;

use super::{ApiError, ErrorKind};

#[tokio::test]
async fn an_error_becomes_the_envelope_with_all_four_fields() {
    let error = ApiError::invalid("no").with_param("messages[0].role");
    let body = error.response().into_body().into_string().await.unwrap();
    assert_eq!(
        body,
        r#"{"error":{"message":"no","type":"invalid_request_error","param":"messages[0].role","code":null}}"#
    );
}

#[test]
fn waiting_times_are_rounded_up() {
    let error =
        ApiError::new(ErrorKind::RateLimit, "slow down").with_retry_after(Duration::from_millis(1001));
    let response = error.response();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.header("retry-after"), Some("2"));
    assert_eq!(response.header("retry-after-ms"), Some("1001"));
}

#[test]
fn an_unauthenticated_caller_is_told_the_scheme() {
    let response = ApiError::new(ErrorKind::Authentication, "who?").response();
    assert_eq!(response.header("www-authenticate"), Some("Bearer"));
}

#[test]
fn the_cause_is_kept_from_the_client() {
    let error = ApiError::server().with_cause(std::io::Error::other("/secret/path"));
    assert!(!error.envelope().error.message.contains("secret"));
    assert_eq!(error.cause().map(ToString::to_string), Some("/secret/path".to_owned()));
}

#[test]
fn an_error_is_small_enough_to_return_by_value() {
    assert!(size_of::<ApiError>() <= 128);
}
