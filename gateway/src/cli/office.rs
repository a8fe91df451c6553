//! Where the commands of access are carried out: by the running gateway, or on its store where none runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway::auth::admin::Admin;
use gateway::auth::store::embedded::EmbeddedStore;
use gateway::auth::{Access, Principal, policy};
use gateway::clock::Clock;
use openapi::admin::List;
use openapi::admin::keys::{CreatedKey, Key, NewKey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::{Builder, Runtime};

use super::Failure;

/// Keys of a page.
const PAGE: usize = 1000;

/// Whoever carries the commands out.
pub(super) enum Office {
    /// The store, which nobody else has open.
    Store { runtime: Runtime, access: Arc<Access> },
    /// The gateway that has it open.
    Gateway(Remote),
}

impl Office {
    /// Opens the data folder.
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        if let Some(remote) = Remote::running(folder)? {
            return Ok(Self::Gateway(remote));
        }
        std::fs::create_dir_all(folder).map_err(Failure::new)?;
        let path = folder.join("access.redb");
        let store = EmbeddedStore::open(&path)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        let runtime = Builder::new_current_thread().build().map_err(Failure::new)?;
        Ok(Self::Store { runtime, access: Arc::new(Access::new(Arc::new(store), Clock::System)) })
    }

    pub(super) fn create(&self, new: NewKey) -> Result<CreatedKey, Failure> {
        match self {
            Self::Store { runtime, access } => {
                runtime.block_on(Admin::new(access, &owner()).create_key(new)).map_err(Failure::new)
            }
            Self::Gateway(remote) => remote.call("POST", "keys", Some(&new)),
        }
    }

    pub(super) fn revoke(&self, id: &str) -> Result<Key, Failure> {
        match self {
            Self::Store { runtime, access } => {
                runtime.block_on(Admin::new(access, &owner()).revoke_key(id)).map_err(Failure::new)
            }
            Self::Gateway(remote) => remote.call::<(), _>("DELETE", &format!("keys/{id}"), None),
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
            Self::Store { runtime, access } => {
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

/// Whoever may write the data folder may do everything.
fn owner() -> Principal {
    let admin = policy::built_in().into_iter().find(|role| role.name == policy::ADMIN);
    let policy = admin.map(|role| role.policy).unwrap_or_default();
    Principal {
        subject: "command line".into(),
        role: policy::ADMIN.into(),
        key: None,
        policy: Arc::new(policy),
    }
}

/// A gateway that runs on this machine.
pub(super) struct Remote {
    base: String,
    key: String,
}

impl Remote {
    /// The gateway of a data folder, if one answers there.
    fn running(folder: &Path) -> Result<Option<Self>, Failure> {
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

    fn call<B: Serialize, T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, Failure> {
        let body = body.map(serde_json::to_vec).transpose().map_err(Failure::new)?.unwrap_or_default();
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/admin/v1/{path}", self.base))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .body(body)
            .map_err(Failure::new)?;
        let mut response = agent.run(request).map_err(Failure::new)?;
        let text = response.body_mut().read_to_string().map_err(Failure::new)?;
        if response.status().is_success() {
            return serde_json::from_str(&text).map_err(Failure::new);
        }
        let envelope: Result<openapi::error::ErrorEnvelope, _> = serde_json::from_str(&text);
        Err(envelope.map_or_else(|_| Failure::new(&text), |envelope| Failure::new(envelope.error.message)))
    }
}
