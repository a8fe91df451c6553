//! Which methods a path has, for the `allow` header of a refusal; and which operation a request is for, as metrics know it.

use poem::http::Method;
use poem_openapi::registry::MetaApi;

use crate::telemetry::metrics::OTHER;

/// Every path of the surface with its methods, each with the name of its operation.
pub(super) struct Paths {
    paths: Vec<(String, Vec<(Method, &'static str)>)>,
}

impl Paths {
    /// The documented paths, and others that only answer `GET`.
    pub(super) fn new(apis: &[MetaApi], others: &[(&str, &'static str)]) -> Self {
        let documented = apis.iter().flat_map(|api| &api.paths).map(|path| {
            let named = path.operations.iter().map(|operation| {
                // Every operation has an id, which a test of the document holds.
                (operation.method.clone(), operation.operation_id.unwrap_or(OTHER))
            });
            (path.path.clone(), named.collect())
        });
        let others = others.iter().map(|(path, name)| ((*path).to_owned(), vec![(Method::GET, *name)]));
        Self { paths: documented.chain(others).collect() }
    }

    /// The methods of a request's path; `None` for a path that there is not.
    pub(super) fn methods(&self, path: &str) -> Option<Vec<Method>> {
        let mut methods: Vec<Method> = self
            .paths
            .iter()
            .filter(|(template, _)| matches(template, path))
            .flat_map(|(_, all)| all)
            .map(|(method, _)| method.clone())
            .collect();
        if methods.contains(&Method::GET) {
            // Whoever may GET may ask for the head alone.
            methods.push(Method::HEAD);
        }
        (!methods.is_empty()).then_some(methods)
    }

    /// Every operation: its method and name.
    pub(super) fn operations(&self) -> impl Iterator<Item = (&Method, &'static str)> {
        self.paths.iter().flat_map(|(_, all)| all).map(|(method, name)| (method, *name))
    }

    /// The operation that a request is for. Who asks for the head alone asks for the operation.
    pub(super) fn operation(&self, method: &Method, path: &str) -> Option<&'static str> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let fitting = self.paths.iter().filter(|(template, _)| matches(template, path));
        fitting.flat_map(|(_, all)| all).find(|(known, _)| known == method).map(|(_, name)| *name)
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
