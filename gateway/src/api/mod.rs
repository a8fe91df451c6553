//! The operations, one file per resource: extract, steps, wrap.

pub mod payload;
