//! The log: human on a terminal, JSON otherwise, always on standard error; what is logged can be changed as it runs.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt as lines};

use crate::config::{LogConfig, LogFormat};

/// The longest filter, bytes.
const LONGEST: usize = 1024;

/// Changes what is logged. Clones are one.
#[derive(Clone, Default)]
pub struct LogControl(Arc<Inner>);

#[derive(Default)]
struct Inner {
    filter: Mutex<String>,
    /// None where somebody else's subscriber was there first.
    handle: Option<Handle<EnvFilter, Registry>>,
}

/// Why a filter is not taken.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It is no filter.
    #[error("is no log filter: {0}")]
    Parse(#[from] ParseError),
    /// It is longer than any that makes sense.
    #[error("is longer than {LONGEST} bytes")]
    TooLong,
    /// The process has no log of ours.
    #[error("cannot be changed in this process")]
    Fixed,
}

impl LogControl {
    /// What is logged at present.
    pub fn filter(&self) -> String {
        self.0.filter.lock().clone()
    }

    /// Logs by another filter from now on.
    ///
    /// # Errors
    /// It does not parse, or is too long.
    pub fn set(&self, filter: &str) -> Result<(), FilterError> {
        if filter.len() > LONGEST {
            return Err(FilterError::TooLong);
        }
        let parsed = EnvFilter::builder().parse(filter)?;
        let handle = self.0.handle.as_ref().ok_or(FilterError::Fixed)?;
        let mut current = self.0.filter.lock();
        handle.reload(parsed).map_err(|_| FilterError::Fixed)?;
        filter.clone_into(&mut current);
        Ok(())
    }
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogControl").field(&self.filter()).finish()
    }
}

/// Starts logging for the process; panics are logged too. A second call changes nothing.
pub fn init(log: &LogConfig) -> LogControl {
    let terminal = io::stderr().is_terminal();
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    let (filter, handle) = reload::Layer::new(EnvFilter::builder().parse_lossy(&log.filter));
    // A log that cannot be written is told nowhere: telling it on the same closed pipe would panic.
    let writer = lines::layer().with_ansi(terminal).with_writer(io::stderr).log_internal_errors(false);
    let shape = if json {
        writer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        writer.with_target(false).boxed()
    };
    let outcome = tracing_subscriber::registry().with(filter).with(shape).try_init();
    if outcome.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
    let handle = outcome.is_ok().then_some(handle);
    LogControl(Arc::new(Inner { filter: Mutex::new(log.filter.clone()), handle }))
}

/// One line like any other, so that JSON logs stay JSON.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let text = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, backtrace = %std::backtrace::Backtrace::capture(), "panicked: {text}");
}
