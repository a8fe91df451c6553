//! What clients see of an error.

use std::time::Duration;

use poem::endpoint::make;
use poem::http::StatusCode;
use poem::{Endpoint, Request, Response};

use super::rescue::{Rescue, shorten};
use super::{ApiError, ErrorKind};

async fn rescued(inner: impl Endpoint) -> Response {
    Rescue::new(inner, Box::new(|_| None)).call(Request::default()).await.unwrap()
}

#[tokio::test]
async fn a_panic_is_a_server_error_that_tells_nothing() {
    let response = rescued(make(|_| async { panic!("secret") as Response })).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(response.header("x-request-id").is_some());
    let body = response.into_body().into_string().await.unwrap();
    assert!(body.contains("server_error") && !body.contains("secret"), "{body}");
}

#[tokio::test]
async fn an_error_of_no_known_type_keeps_its_status_and_loses_its_text() {
    for status in [StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN, StatusCode::BAD_GATEWAY] {
        let foreign =
            make(move |_| async move { Err::<Response, _>(poem::Error::from_string("secret", status)) });
        let response = rescued(foreign).await;
        let expected = if status.is_server_error() { StatusCode::INTERNAL_SERVER_ERROR } else { status };
        assert_eq!(response.status(), expected);
        assert!(!response.into_body().into_string().await.unwrap().contains("secret"));
    }
}

#[test]
fn long_texts_are_shortened_between_characters() {
    let text = "\u{e9}".repeat(1000);
    let short = shorten(&text);
    assert!(short.len() < 200 && short.contains('\u{2026}'), "{short}");
    assert_eq!(shorten("short"), "short");
}

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
