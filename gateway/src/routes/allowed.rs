//! Which methods a path has: for the `allow` header of a refusal.

use poem::http::Method;
use poem_openapi::registry::MetaApi;

/// Every path of the surface with its methods.
pub(super) struct Paths {
    paths: Vec<(String, Vec<Method>)>,
}

impl Paths {
    /// The documented paths, and others that only answer `GET`.
    pub(super) fn new(apis: &[MetaApi], others: &[&str]) -> Self {
        let documented = apis.iter().flat_map(|api| &api.paths).map(|path| {
            let methods = path.operations.iter().map(|operation| operation.method.clone()).collect();
            (path.path.clone(), methods)
        });
        let others = others.iter().map(|path| ((*path).to_owned(), vec![Method::GET]));
        Self { paths: documented.chain(others).collect() }
    }

    /// The methods of a request's path; `None` for a path that there is not.
    pub(super) fn methods(&self, path: &str) -> Option<Vec<Method>> {
        let mut methods: Vec<Method> = self
            .paths
            .iter()
            .filter(|(template, _)| matches(template, path))
            .flat_map(|(_, all)| all)
            .cloned()
            .collect();
        if methods.contains(&Method::GET) {
            // Whoever may GET may ask for the head alone.
            methods.push(Method::HEAD);
        }
        (!methods.is_empty()).then_some(methods)
    }
}

/// Whether a path such as `/v1/models/x` is one of `/v1/models/{model}`.
fn matches(template: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    let fits = template.split('/').all(|part| match segments.next() {
        Some(segment) if part.starts_with('{') => !segment.is_empty(),
        Some(segment) => segment == part,
        None => false,
    });
    fits && segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_stands_for_one_segment() {
        assert!(matches("/v1/models/{model}", "/v1/models/x"));
        assert!(!matches("/v1/models/{model}", "/v1/models"));
        assert!(!matches("/v1/models/{model}", "/v1/models/"));
        assert!(!matches("/v1/models/{model}", "/v1/models/x/y"));
    }
}
