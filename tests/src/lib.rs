//! Harness for the integration tests: real gateway processes on free ports.
