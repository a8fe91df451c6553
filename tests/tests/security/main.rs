//! Attacks on access, each against a running gateway: forged credentials, smuggled requests, rights taken by tricks.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod document;
mod escalation;
mod headers;
mod models;
mod others;
mod permissions;
mod smuggling;
mod surface;
mod tokens;

use serde_json::Value;
use tests::Gateway;
use tests::http::Http;

/// Everything that a role can hold.
const PERMISSIONS: [&str; 10] = [
    "chat",
    "embeddings",
    "models:read",
    "conversations",
    "models:manage",
    "roles:read",
    "roles:manage",
    "keys:manage",
    "usage:read",
    "metrics:read",
];

/// What any known caller may ask, whatever it may do.
const WHOAMI: &str = "/admin/v1/whoami";

/// A gateway that generates nothing, or little.
async fn gateway() -> Gateway {
    // Attacks come from one address here, and each is to be refused for itself.
    Gateway::builder().parallel(1).context(512).set("GATEWAY_FAILED_LOGINS", 0).start().await
}

/// A client with this credential.
fn client(gateway: &Gateway, credential: &str) -> Http {
    Http::new(gateway.address(), credential)
}

/// How every credential is refused: as a key that nobody ever had.
struct Refusal(Value);

impl Refusal {
    async fn of(gateway: &Gateway) -> Self {
        let answer = client(gateway, &format!("sk-{}", "A".repeat(43))).get(WHOAMI).await;
        Self(answer.refused(401, "authentication_error"))
    }

    /// Panics unless the gateway refuses the credential, and in the same words as every other.
    async fn meets(&self, gateway: &Gateway, credential: &str, what: &str) {
        let answer = client(gateway, credential).get(WHOAMI).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text());
        assert_eq!(answer.refused(401, "authentication_error"), self.0, "{what}: an answer of its own");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{what}");
    }
}
