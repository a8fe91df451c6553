//! Where the commands of access are carried out: by the running gateway, or on its store where none runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway::auth::admin::Admin;
use gateway::auth::{Access, Principal, policy};
use gateway::config::Config;
use gateway::error::ApiError;
use gateway::telemetry::Metrics;
use openapi::admin::keys::{CreatedKey, Key, NewKey};
use openapi::admin::tokens::{CreatedToken, InspectRequest, NewToken, RotateRequest, Rotated, TokenState};
use openapi::admin::{Deleted, List};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::{Builder, Runtime};

use super::Failure;
use super::background::Background;
use super::stores::{self, Shelf};

/// Keys of a page.
const PAGE: usize = 1000;

/// Whoever carries the commands out.
pub(super) enum Office {
    /// The store, which nobody else has open.
    Store { runtime: Runtime, access: Arc<Access>, _background: Background },
    /// The gateway that has it open.
    Gateway(Remote),
}

impl Office {
    /// Asks the gateway of the data folder, or opens what it would open.
    pub(super) fn open(config: &Config) -> Result<Self, Failure> {
        let folder = config.data_dir.as_path();
        if let Some(remote) = Remote::running(folder)? {
            return Ok(Self::Gateway(remote));
        }
        std::fs::create_dir_all(folder).map_err(Failure::new)?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::new)?;
        let mut background = Background::default();
        let access = runtime.block_on(async {
            let link = stores::link(config)?;
            let shelf = Shelf { config, link: link.as_ref(), metrics: &Metrics::default() };
            shelf.open_access(&mut background).await
        })?;
        Ok(Self::Store { runtime, access: Arc::new(access), _background: background })
    }

    pub(super) fn create_key(&self, new: NewKey) -> Result<CreatedKey, Failure> {
        match self {
            Self::Store { runtime, access, .. } => {
                admin(runtime, access, async |admin| admin.create_key(new).await)
            }
            Self::Gateway(remote) => remote.call("POST", "keys", Some(&new)),
        }
    }

    pub(super) fn revoke_key(&self, id: &str) -> Result<Key, Failure> {
        match self {
            Self::Store { runtime, access, .. } => {
                admin(runtime, access, async |admin| admin.revoke_key(id).await)
            }
            Self::Gateway(remote) => remote.call::<(), _>("DELETE", &format!("keys/{id}"), None),
        }
    }

    pub(super) fn create_token(&self, new: NewToken) -> Result<CreatedToken, Failure> {
        match self {
            Self::Store { runtime, access, .. } => {
                admin(runtime, access, async |admin| admin.create_token(new).await)
            }
            Self::Gateway(remote) => remote.call("POST", "tokens", Some(&new)),
        }
    }

    pub(super) fn inspect_token(&self, token: String) -> Result<TokenState, Failure> {
        let request = InspectRequest { token };
        match self {
            Self::Store { runtime, access, .. } => {
                admin(runtime, access, async |admin| admin.inspect_token(&request).await)
            }
            Self::Gateway(remote) => remote.call("POST", "introspect", Some(&request)),
        }
    }

    pub(super) fn revoke_token(&self, jti: &str) -> Result<(), Failure> {
        match self {
            Self::Store { runtime, access, .. } => {
                admin(runtime, access, async |admin| admin.revoke_token(jti).await)
            }
            Self::Gateway(remote) => {
                remote.call::<(), Deleted>("DELETE", &format!("tokens/{jti}"), None).map(drop)
            }
        }
    }

    pub(super) fn rotate(&self, request: &RotateRequest) -> Result<Rotated, Failure> {
        match self {
            Self::Store { runtime, access, .. } => {
                admin(runtime, access, async |admin| admin.rotate(request).await)
            }
            Self::Gateway(remote) => remote.call("POST", "signing-keys", Some(request)),
        }
    }

    pub(super) fn list(&self) -> Result<Vec<Key>, Failure> {
        let mut all: Vec<Key> = Vec::new();
        loop {
            let after = all.last().map(|key| key.id.clone());
            let page = self.page(after.as_deref())?;
            let last = page.len() < PAGE;
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    }

    fn page(&self, after: Option<&str>) -> Result<Vec<Key>, Failure> {
        match self {
            Self::Store { runtime, access, .. } => {
                runtime.block_on(access.store().keys(after, PAGE)).map_err(Failure::new)
            }
            Self::Gateway(remote) => {
                let after = after.map(|id| format!("&after={id}")).unwrap_or_default();
                let path = format!("keys?limit={PAGE}{after}");
                remote.call::<(), List<Key>>("GET", &path, None).map(|page| page.data)
            }
        }
    }
}

/// Does an admin's work on the store.
fn admin<T>(
    runtime: &Runtime,
    access: &Arc<Access>,
    work: impl AsyncFnOnce(&Admin<'_>) -> Result<T, ApiError>,
) -> Result<T, Failure> {
    runtime.block_on(work(&Admin::new(access, &owner()))).map_err(Failure::new)
}

/// Whoever may write the data folder may do everything.
fn owner() -> Principal {
    let admin = policy::built_in().into_iter().find(|role| role.name == policy::ADMIN);
    let policy = admin.map(|role| role.policy).unwrap_or_default();
    Principal::unlisted("command line", policy::ADMIN, policy)
}

/// A gateway that runs on this machine.
pub(super) struct Remote {
    base: String,
    key: String,
}

impl Remote {
    /// The gateway of a data folder, if one answers there.
    pub(super) fn running(folder: &Path) -> Result<Option<Self>, Failure> {
        let Ok(address) = std::fs::read_to_string(folder.join("gateway.addr")) else { return Ok(None) };
        let address = address.trim();
        if address.starts_with("unix:") {
            let message = "the gateway listens on a Unix socket: use its admin API, or stop it first";
            return Err(Failure::new(message));
        }
        let base = format!("http://{address}");
        if ureq::get(format!("{base}/healthz")).call().is_err() {
            // Left by a process that was killed.
            return Ok(None);
        }
        let file: PathBuf = folder.join("admin.key");
        let key = std::fs::read_to_string(&file)
            .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
        Ok(Some(Self { base, key: key.trim().to_owned() }))
    }

    pub(super) fn call<B: Serialize, T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, Failure> {
        self.change(method, path, body, None)
    }

    /// Calls with the version that the change is made for.
    pub(super) fn change<B: Serialize, T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<&B>,
        version: Option<u64>,
    ) -> Result<T, Failure> {
        let body = body.map(serde_json::to_vec).transpose().map_err(Failure::new)?.unwrap_or_default();
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/admin/v1/{path}", self.base))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json");
        if let Some(version) = version {
            request = request.header("if-match", format!("\"{version}\""));
        }
        let request = request.body(body).map_err(Failure::new)?;
        let mut response = agent.run(request).map_err(Failure::new)?;
        let text = response.body_mut().read_to_string().map_err(Failure::new)?;
        if response.status().is_success() {
            return serde_json::from_str(&text).map_err(Failure::new);
        }
        let envelope: Result<openapi::error::ErrorEnvelope, _> = serde_json::from_str(&text);
        Err(envelope.map_or_else(|_| Failure::new(&text), |envelope| Failure::new(envelope.error.message)))
    }
}
