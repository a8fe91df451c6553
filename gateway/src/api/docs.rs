//! `GET /openapi.json` and `/docs`: the document, and a page that shows it without a network.

use bytes::Bytes;
use poem::endpoint::make_sync;
use poem::{Body, IntoEndpoint, Response, Route, get};
use poem_openapi::OperationId;

/// The page may use what is in it and talk to its own server; nothing else is ever loaded.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                      font-src data:; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/// The paths of this file, for those who list all paths.
pub const PATHS: [&str; 2] = ["/openapi.json", "/docs"];

/// Adds the two routes.
pub fn add(routes: Route, document: String, page: String) -> Route {
    let [document_path, page_path] = PATHS;
    routes
        .at(document_path, get(fixed(OperationId("openapi_document"), "application/json", document)))
        .at(page_path, get(fixed(OperationId("docs"), "text/html; charset=utf-8", page)))
}

/// Puts the finished document into the page that poem-openapi made of the unfinished one.
pub fn finish_page(page: &str, unfinished: &str, document: &str) -> String {
    // `</script>` in a description would end the script that holds the document.
    page.replace(unfinished, &document.replace("</", "<\\/"))
}

fn fixed(operation: OperationId, content_type: &'static str, content: String) -> impl IntoEndpoint {
    let content = Bytes::from(content);
    make_sync(move |_| {
        let mut response = Response::builder()
            .content_type(content_type)
            .header("content-security-policy", POLICY)
            .header("x-content-type-options", "nosniff")
            .body(Body::from_bytes(content.clone()));
        response.set_data(operation);
        response
    })
}
