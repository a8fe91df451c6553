//! What a gateway and its workers have agreed on, wherever each of them reads it.

/// The header field by which a gateway tells its worker whose request it is: sharing is inside of it.
pub const TENANT: &str = "x-sluice-tenant";
/// The header field that tells which requests go first.
pub const PRIORITY: &str = "x-sluice-priority";
