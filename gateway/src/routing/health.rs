//! Asks every target now and then whether it answers, so that one that is gone is known before a request meets it.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Catalog;

/// From one round to the next.
const BEAT: Duration = Duration::from_secs(5);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

impl Catalog {
    /// Asks every target, until it is dropped.
    pub async fn keep_probing(self) {
        let mut beats = tokio::time::interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            self.probe().await;
        }
    }

    /// Asks every target once.
    pub(super) async fn probe(&self) {
        let models = self.models();
        let asked = models.targets.iter().map(|target| async move {
            let answer = tokio::time::timeout(PATIENCE, target.engine().probe()).await;
            target.probed(answer.unwrap_or(false));
        });
        futures_util::future::join_all(asked).await;
    }
}
