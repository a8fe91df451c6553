//! Routes as the store has them, taken over as they change: those of this replica at once, others' as they are seen.

use std::sync::Arc;
use std::time::Duration;

use super::Catalog;
use crate::auth::store::{AuthStore, StoreError};

/// From a failure to the next attempt.
const AGAIN: Duration = Duration::from_millis(500);

impl Catalog {
    /// Takes over what stands in the store now.
    pub async fn take_over(&self, store: &dyn AuthStore) -> Result<(), StoreError> {
        let _taking_over = self.0.taking_over.lock().await;
        self.put_routes(store.routes().await?);
        Ok(())
    }

    /// Takes over the changes of other replicas until the store is gone. Returns after the first time where no other
    /// replica can change anything.
    pub async fn follow(self, store: Arc<dyn AuthStore>) {
        let mut changes = store.changes();
        loop {
            while let Err(error) = self.take_over(&*store).await {
                tracing::warn!(%error, "the routes could not be read; trying again");
                tokio::time::sleep(AGAIN).await;
            }
            let Some(changes) = &mut changes else { return };
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use openapi::admin::models::KeptRoute;
    use tokio::task::JoinSet;

    use super::*;
    use crate::auth::store::redis::RedisStore;
    use crate::auth::store::{Change, Expected, Note};
    use crate::engine::Engine;
    use crate::engine::scripted::{Script, ScriptedEngine};
    use crate::redis_link::test_server::Server;

    #[tokio::test]
    async fn a_route_made_at_one_replica_is_served_at_another_and_gone_when_it_is_removed() {
        let server = Server::start().await;
        let (one, other) =
            (RedisStore::open(server.link()).await.unwrap(), RedisStore::open(server.link()).await.unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(other.clone().keep_looking());
        let engine = Arc::new(ScriptedEngine::new("m", Script::new())) as Arc<dyn Engine>;
        let catalog = Catalog::new(vec![engine]);
        tasks.spawn(catalog.clone().follow(Arc::new(other)));
        let spec = serde_json::from_str(r#"{"name": "x", "targets": [{"model": "m"}]}"#).unwrap();
        let note = || Note { actor: "a".to_owned(), action: "route.create", at: 0 };
        let put = Change::PutRoute(KeptRoute { spec, version: 0 }, Expected::New);
        one.apply(put, note()).await.unwrap();
        while catalog.resolve("x").is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        one.apply(Change::DeleteRoute("x".to_owned(), Expected::Any), note()).await.unwrap();
        while catalog.resolve("x").is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
