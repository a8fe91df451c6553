//! `GET /openapi.json` and `/docs`: the document, and a page that shows it without a network.

use bytes::Bytes;
use poem::endpoint::make_sync;
use poem::{Body, IntoEndpoint, Response, Route, get};

/// The page may use what is in it and talk to its own server; nothing else is ever loaded.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                      font-src data:; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/// The paths of this file and their names, for those who list all paths.
pub const PATHS: [(&str, &str); 2] = [("/openapi.json", "openapi_document"), ("/docs", "docs")];

/// Adds the two routes.
pub fn add(routes: Route, document: String, page: String) -> Route {
    let [(document_path, _), (page_path, _)] = PATHS;
    routes
        .at(document_path, get(fixed("application/json", document)))
        .at(page_path, get(fixed("text/html; charset=utf-8", page)))
}

/// Puts the finished document into the page that poem-openapi made of the unfinished one.
pub fn finish_page(page: &str, unfinished: &str, document: &str) -> String {
    // `</script>` in a description would end the script that holds the document.
    page.replace(unfinished, &document.replace("</", "<\\/"))
}

fn fixed(content_type: &'static str, content: String) -> impl IntoEndpoint {
    let content = Bytes::from(content);
    make_sync(move |_| {
        Response::builder()
            .content_type(content_type)
            .header("content-security-policy", POLICY)
            .header("x-content-type-options", "nosniff")
            .body(Body::from_bytes(content.clone()))
    })
}
