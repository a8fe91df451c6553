//! The log: human on a terminal, JSON otherwise, always on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Starts logging for the process; panics are logged too. A second call changes nothing.
pub fn init(log: &LogConfig) {
    let terminal = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse_lossy(&log.filter))
        .with_ansi(terminal)
        .with_writer(io::stderr);
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    let outcome = if json {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        builder.with_target(false).try_init()
    };
    if outcome.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// One line like any other, so that JSON logs stay JSON.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let text = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, backtrace = %std::backtrace::Backtrace::capture(), "panicked: {text}");
}
