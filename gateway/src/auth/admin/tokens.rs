//! An admin's work on tokens and on the key that signs them.

use std::time::Duration;

use openapi::admin::tokens::{CreatedToken, InspectRequest, NewToken, RotateRequest, Rotated, TokenState};
use serde_json::json;

use super::{Admin, Outcome, check_name, missing};
use crate::auth::AuthError;
use crate::auth::store::{Change, REVOKED_FOR};
use crate::auth::token::{self, MintError, TokenError};
use crate::error::{ApiError, ErrorKind};

/// Seconds that a token lives where nothing else was asked for.
const TOKEN_LIFE: u64 = 60 * 60;

impl Admin<'_> {
    /// Makes a token.
    pub async fn create_token(&self, new: NewToken) -> Outcome<CreatedToken> {
        check_name(&new.subject, "subject")?;
        let tokens = self.access.tokens().ok_or_else(ApiError::server)?;
        let rights = match self.access.principal(&new.subject, new.role.as_deref()).await {
            // Not the caller's own credential is refused, but its wish.
            Err(AuthError::Disabled) => return Err(disabled()),
            rights => rights?,
        };
        self.may_grant("token.create", &new.subject, &rights.policy).await?;
        if let Some(role) = &new.role {
            // The subject's record hides this role only as long as it is there.
            self.may_grant("token.create", &new.subject, &self.role_policy(role).await?).await?;
        }
        let life = Duration::from_secs(new.expires_in.unwrap_or(TOKEN_LIFE));
        let asked = token::NewToken {
            subject: new.subject.clone(),
            role: new.role,
            expires_in: life,
            not_before: None,
            note: new.note,
        };
        let made = tokens.mint(&asked).map_err(|error| match error {
            MintError::Signing => ApiError::server().with_cause(error),
            MintError::Life { .. } => ApiError::invalid(error.to_string()).with_param("expires_in"),
            MintError::Name(what) => ApiError::invalid(error.to_string()).with_param(what),
        })?;
        let what = json!({"subject": new.subject, "role": rights.role, "expires_at": made.expires_at});
        self.tell("token.create", &made.jti, what).await?;
        Ok(CreatedToken { token: made.token, jti: made.jti, expires_at: made.expires_at })
    }

    /// Revokes a token, at once and for good.
    pub async fn revoke_token(&self, jti: &str) -> Outcome<()> {
        check_name(jti, "jti")?;
        // A key's streams end by its id: that is for those who may revoke the key.
        if self.access.store().key(jti).await?.is_some() {
            return Err(missing("token", jti));
        }
        let until = self.access.now().saturating_add(REVOKED_FOR);
        self.apply(Change::RevokeToken(jti.to_owned(), until), "token.revoke").await?;
        self.access.live().end_key(jti);
        Ok(())
    }

    /// What a token is worth at this moment.
    pub async fn inspect_token(&self, request: &InspectRequest) -> Outcome<TokenState> {
        let tokens = self.access.tokens().ok_or_else(ApiError::server)?;
        let refused = |reason: &str| TokenState { reason: Some(reason.to_owned()), ..TokenState::default() };
        let verified = match tokens.verify(&request.token).await {
            Ok(verified) => verified,
            Err(error @ TokenError::IssuerAway) => return Err(AuthError::Token(error).into()),
            Err(error) => return Ok(refused(error.reason())),
        };
        let (jti, expires_at) = (verified.jti, Some(verified.expires_at));
        match self.access.identify(request.token.as_bytes(), None).await {
            Ok(caller) => Ok(TokenState {
                active: true,
                reason: None,
                subject: Some(caller.subject.to_string()),
                role: Some(caller.role.to_string()).filter(|role| !role.is_empty()),
                jti,
                expires_at,
            }),
            Err(AuthError::Store(error)) => Err(error.into()),
            Err(error) => {
                let subject = Some(verified.subject.to_string());
                Ok(TokenState { subject, jti, expires_at, ..refused(error.reason()) })
            }
        }
    }

    /// Signs with a new key from now on.
    pub async fn rotate(&self, request: &RotateRequest) -> Outcome<Rotated> {
        let kid = self.access.rotate(request.overlap.map(Duration::from_secs)).await?;
        self.tell("signing_key.rotate", &kid, json!({"overlap": request.overlap})).await?;
        Ok(Rotated { kid })
    }
}

fn disabled() -> ApiError {
    let message = "the subject is disabled; enable it first";
    ApiError::new(ErrorKind::Conflict, message).with_param("subject").with_code("disabled")
}
