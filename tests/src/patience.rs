//! Waiting for something to become true, for as long as the machine may need and no longer.

use std::time::{Duration, Instant};

/// How long a test waits before it gives up: `SLUICE_TEST_PATIENCE` in seconds, 180 by default: a machine shared with
/// other compilers and models is ten times slower than a quiet one.
pub fn patience() -> Duration {
    let seconds = variable("SLUICE_TEST_PATIENCE").and_then(|text| text.parse().ok()).unwrap_or(180);
    Duration::from_secs(seconds)
}

/// An environment variable of the test run itself.
#[expect(clippy::disallowed_methods, reason = "the harness has no configuration but its environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The moment at which waiting that starts now ends.
pub fn deadline() -> Instant {
    Instant::now() + patience()
}

/// The pause between two looks at a condition: it bounds how often we look, never whether a test passes.
pub async fn pause() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// Awaits a future, and panics naming `what` when patience runs out.
pub async fn patiently<F: Future>(what: &str, future: F) -> F::Output {
    let outcome = tokio::time::timeout(patience(), future).await;
    outcome.unwrap_or_else(|_| panic!("waited {:?} in vain for {what}", patience()))
}

/// Evaluates a condition again and again until it holds; panics with the message when patience runs out.
///
/// The condition may await. Anything after it is the message, as in `format!`.
#[macro_export]
macro_rules! eventually {
    ($condition:expr, $($message:tt)+) => {{
        let deadline = $crate::patience::deadline();
        loop {
            if $condition {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "waited in vain: {}", format!($($message)+));
            $crate::patience::pause().await;
        }
    }};
}
