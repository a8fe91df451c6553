//! Where the service is that a test needs.

#![expect(clippy::panic, reason = "a test ends by panicking")]

/// The address of a service, from the environment.
#[expect(clippy::disallowed_methods, reason = "a test is told by its environment where a service is")]
pub(crate) fn address(variable: &str, form: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("set {variable} to the service's address, as {form}"))
}
