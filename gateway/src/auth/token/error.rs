//! Why a token is refused: a label for metrics, and words for the log.

use jsonwebtoken::errors::{Error, ErrorKind};

/// Why a token is refused.
///
/// Clients are told of none of it; [`reason`](Self::reason) is for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenError {
    /// It is not a JWT.
    #[error("the token is not valid")]
    Malformed,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Nobody trusted says to have issued it.
    #[error("the token is not valid")]
    WrongIssuer,
    /// It was issued for another service.
    #[error("the token is not valid")]
    WrongAudience,
    /// Its signature is of something else or by somebody else.
    #[error("the token is not valid")]
    BadSignature,
    /// Its issuer has no such key, or has it no more.
    #[error("the token is not valid")]
    UnknownKey,
    /// Its algorithm is not the key's.
    #[error("the token is not valid")]
    WrongAlgorithm,
    /// It is longer than any token that is meant.
    #[error("the token is not valid")]
    TooLong,
    /// A claim that every token has is missing, or is nothing that could be used.
    #[error("the token is not valid")]
    MissingClaim,
    /// Its issuer has never answered, so nothing is known of the token. Not the client's fault, and it may pass.
    #[error("the token cannot be verified now")]
    IssuerAway,
}

impl TokenError {
    /// The label of metrics and logs, one of eleven.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::BadSignature => "bad_signature",
            Self::UnknownKey => "unknown_key",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::TooLong => "too_long",
            Self::MissingClaim => "missing_claim",
            Self::IssuerAway => "issuer_away",
        }
    }

    /// What a failure of the library means.
    pub(super) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidAlgorithm
            | ErrorKind::InvalidAlgorithmName
            | ErrorKind::UnsupportedAlgorithm
            | ErrorKind::MissingAlgorithm => Self::WrongAlgorithm,
            // A key that cannot be used has signed nothing.
            ErrorKind::InvalidSignature
            | ErrorKind::InvalidKeyFormat
            | ErrorKind::InvalidEcdsaKey
            | ErrorKind::InvalidEddsaKey
            | ErrorKind::InvalidRsaKey(_) => Self::BadSignature,
            ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidSubject => Self::MissingClaim,
            ErrorKind::InvalidIssuer => Self::WrongIssuer,
            ErrorKind::InvalidAudience => Self::WrongAudience,
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::NotYetValid,
            _ => Self::Malformed,
        }
    }
}
