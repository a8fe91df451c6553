//! What counts as a credential.

use poem::Request;
use poem::http::StatusCode;

use super::{AdminKey, identify};

const KEY: &str = "sk-test";

fn status_for(headers: &[&str]) -> Option<StatusCode> {
    let mut request = Request::builder();
    for value in headers {
        request = request.header("authorization", *value);
    }
    let mut request = request.finish();
    request.set_data(AdminKey::of(KEY));
    identify(&request).err().map(|error| error.status())
}

#[test]
fn the_key_passes_whatever_the_case_of_its_scheme() {
    assert_eq!(status_for(&["Bearer sk-test"]), None);
    assert_eq!(status_for(&["bearer  sk-test "]), None);
}

#[test]
fn everything_else_is_unauthenticated() {
    let refused: [&[&str]; 8] = [
        &[],
        &[""],
        &["Bearer"],
        &["Bearer "],
        &["Bearer sk-tes"],
        &["Basic sk-test"],
        &["sk-test"],
        &["Bearer sk-test", "Bearer sk-test"],
    ];
    for headers in refused {
        assert_eq!(status_for(headers), Some(StatusCode::UNAUTHORIZED), "{headers:?}");
    }
}

#[test]
fn a_request_that_lost_the_key_is_refused() {
    let request = Request::builder().header("authorization", "Bearer sk-test").finish();
    assert_eq!(identify(&request).unwrap_err().status(), StatusCode::INTERNAL_SERVER_ERROR);
}
