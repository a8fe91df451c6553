//! The configuration of an external issuer, checked once so that nothing of it can be wrong later.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde::{Deserialize, Serialize};
use ureq::http::Uri;

use super::LONGEST_LEEWAY;
use super::claims::{ClaimPath, KnownRoles, RoleRule};
use super::verify::{Issuer, Rules};

/// An OIDC issuer whose tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// What it is called here: in logs, and in who a caller is.
    pub name: String,
    /// The claim `iss` of its tokens, to the letter.
    pub issuer: String,
    /// Its tokens must be for one of them.
    pub audience: Vec<String>,
    /// Where its keys are: `https`, or `http` on this machine.
    pub jwks_url: String,
    /// Where the role is: a claim's name, a path such as `realm_access.roles`, or a JSON pointer such as
    /// `/https:~1~1example.com~1role` for names with dots. An array's first role that counts is taken.
    #[serde(default = "default_role_claim")]
    pub role_claim: String,
    /// From the issuer's role names to ours. Without any, its names that are also ours count; with some, only these.
    #[serde(default)]
    pub role_map: BTreeMap<String, String>,
    /// Where the subject is, written as for the role.
    #[serde(default = "default_subject_claim")]
    pub subject_claim: String,
    /// What its keys may be for. A key that says nothing itself is for the first one that fits it.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// Seconds that its clock may differ from ours; at most 60.
    #[serde(default = "default_leeway")]
    pub leeway_seconds: u64,
}

fn default_role_claim() -> String {
    "role".to_owned()
}

fn default_subject_claim() -> String {
    "sub".to_owned()
}

fn default_algorithms() -> Vec<Algorithm> {
    vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]
}

fn default_leeway() -> u64 {
    10
}

/// What is wrong with an issuer's configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("issuer {name:?}: {problem}")]
pub struct IssuerError {
    /// Which one.
    pub name: String,
    /// What is wrong.
    pub problem: &'static str,
}

impl IssuerConfig {
    /// What its tokens must say.
    pub(super) fn rules(&self, known: &Arc<dyn KnownRoles>) -> Result<Rules, IssuerError> {
        if let Some(problem) = self.problem() {
            return Err(self.error(problem));
        }
        let path = |text: &str, problem| ClaimPath::parse(text).ok_or_else(|| self.error(problem));
        let role = RoleRule::Mapped {
            path: path(&self.role_claim, "role_claim leads nowhere")?,
            map: self
                .role_map
                .iter()
                .map(|(theirs, ours)| (theirs.clone(), Arc::from(ours.as_str())))
                .collect(),
            known: Arc::clone(known),
        };
        Ok(Rules {
            issuer: Issuer::External(self.name.as_str().into()),
            iss: self.issuer.clone(),
            audience: self.audience.clone(),
            leeway: self.leeway_seconds,
            subject: path(&self.subject_claim, "subject_claim leads nowhere")?,
            role,
        })
    }

    /// The error for something wrong here.
    pub(super) fn error(&self, problem: &'static str) -> IssuerError {
        IssuerError { name: self.name.clone(), problem }
    }

    fn problem(&self) -> Option<&'static str> {
        let problems = [
            (self.name.is_empty(), "name is empty"),
            (self.issuer.is_empty(), "issuer is empty"),
            // Without one, a token for any other service of the issuer would do here.
            (self.audience.is_empty() || self.audience.iter().any(String::is_empty), "audience is empty"),
            (!is_safe(&self.jwks_url), "jwks_url must be https, or http on a loopback address"),
            (self.algorithms.is_empty(), "algorithms is empty"),
            (
                self.algorithms.iter().any(|algorithm| algorithm.family() == AlgorithmFamily::Hmac),
                "algorithms may not have HS256, HS384 or HS512: published keys are no shared secrets",
            ),
            (self.leeway_seconds > LONGEST_LEEWAY, "leeway_seconds is over 60"),
        ];
        problems.iter().find(|(wrong, _)| *wrong).map(|(_, problem)| *problem)
    }
}

/// Whether nobody on the way can put other keys in the place of those there.
fn is_safe(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for url in
            ["https://idp.example/keys", "http://127.0.0.1:9/k", "http://[::1]/k", "http://localhost:8080/k"]
        {
            assert!(is_safe(url), "{url}");
        }
        for url in [
            "http://idp.example/keys",
            "http://127.0.0.1@idp.example/",
            "http://127.0.0.1.idp.example/",
            "http://localhost.idp.example/",
            "http://10.0.0.1/",
            "file:///etc/passwd",
            "ftp://127.0.0.1/",
            "/keys",
            "",
        ] {
            assert!(!is_safe(url), "{url}");
        }
    }

    #[test]
    fn an_issuer_needs_little_and_gets_careful_defaults() {
        let text = r#"{"name":"kc","issuer":"https://i","audience":["a"],"jwks_url":"https://i/k"}"#;
        let config: IssuerConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.algorithms, [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]);
        assert_eq!((config.subject_claim.as_str(), config.leeway_seconds), ("sub", 10));
        assert_eq!(config.problem(), None);
    }

    #[test]
    fn what_would_weaken_an_issuer_is_refused() {
        let text = r#"{"name":"kc","issuer":"https://i","audience":["a"],"jwks_url":"https://i/k"}"#;
        let good: IssuerConfig = serde_json::from_str(text).unwrap();
        let known: Arc<dyn KnownRoles> = Arc::new(std::collections::BTreeSet::new());
        let wrong = [
            IssuerConfig { audience: vec![], ..good.clone() },
            IssuerConfig { audience: vec![String::new()], ..good.clone() },
            IssuerConfig { issuer: String::new(), ..good.clone() },
            IssuerConfig { algorithms: vec![], ..good.clone() },
            IssuerConfig { algorithms: vec![Algorithm::RS256, Algorithm::HS256], ..good.clone() },
            IssuerConfig { leeway_seconds: 61, ..good.clone() },
            IssuerConfig { jwks_url: "http://i/k".to_owned(), ..good.clone() },
            IssuerConfig { role_claim: "a..b".to_owned(), ..good.clone() },
            IssuerConfig { subject_claim: "/".to_owned(), ..good.clone() },
        ];
        for config in wrong {
            assert!(config.rules(&known).is_err(), "{config:?}");
        }
        assert!(good.rules(&known).is_ok());
    }
}
