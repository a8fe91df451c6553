//! Why a caller is not known, or a change of access is refused.

use super::store::StoreError;
use super::token::TokenError;
use crate::error::{ApiError, ErrorKind};

/// What every client is told whose credential is not taken, so that nobody learns which were good once.
const REFUSED: &str = "the API key or token is not valid: it is unknown, has ended or was revoked";

/// Why a credential is not taken. The client learns no more than that it is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// None was sent.
    #[error("no API key was sent; send it as: Authorization: Bearer YOUR_KEY")]
    Missing,
    /// More than one was sent.
    #[error("the credential was sent more than once; send it as Authorization or as x-api-key, not both")]
    Ambiguous,
    /// Nobody has it.
    #[error("the credential is unknown")]
    Unknown,
    /// Its time is over.
    #[error("the key has ended")]
    Expired,
    /// It was revoked.
    #[error("the credential was revoked")]
    Revoked,
    /// Its subject may not call at present.
    #[error("the subject is disabled")]
    Disabled,
    /// It is a token that does not hold.
    #[error("{0}")]
    Token(TokenError),
    /// Too many others from this address were not taken.
    #[error("too many credentials from this address were not valid")]
    Throttled(std::time::Duration),
    /// It could not be looked up.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AuthError {
    /// Whether somebody may be guessing: a credential was sent that is none.
    pub fn is_guess(&self) -> bool {
        match self {
            Self::Unknown | Self::Expired | Self::Revoked | Self::Disabled => true,
            Self::Token(error) => !matches!(error, TokenError::IssuerAway),
            Self::Missing | Self::Ambiguous | Self::Throttled(_) | Self::Store(_) => false,
        }
    }

    /// A bounded label for metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Ambiguous => "ambiguous",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Disabled => "disabled",
            Self::Token(error) => error.reason(),
            Self::Throttled(_) => "throttled",
            Self::Store(_) => "store",
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Store(error) => error.into(),
            AuthError::Token(TokenError::IssuerAway) => {
                Self::new(ErrorKind::Overloaded, "the token's issuer does not answer; try again")
                    .with_code("issuer_away")
                    .with_cause(error)
            }
            AuthError::Throttled(wait) => Self::new(ErrorKind::RateLimit, error.to_string())
                .with_code("failed_logins")
                .with_retry_after(wait)
                .with_cause(error),
            AuthError::Missing => Self::new(ErrorKind::Authentication, error.to_string()).with_cause(error),
            AuthError::Ambiguous => {
                Self::invalid(error.to_string()).with_code("ambiguous_credential").with_cause(error)
            }
            refused => Self::new(ErrorKind::Authentication, REFUSED).with_cause(refused),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let conflict = |code| Self::new(ErrorKind::Conflict, error.to_string()).with_code(code);
        match &error {
            StoreError::Conflict => Self::new(ErrorKind::PreconditionFailed, error.to_string()),
            StoreError::Missing => Self::new(ErrorKind::NotFound, error.to_string()),
            StoreError::InUse(_) => conflict("in_use"),
            StoreError::LastAdmin => conflict("last_admin"),
            StoreError::Failed(_) => {
                Self::new(ErrorKind::Overloaded, "access cannot be looked up at present; try again")
                    .with_code("access_unavailable")
                    .with_cause(error)
            }
        }
    }
}
