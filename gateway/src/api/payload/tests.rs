//! What clients see of a body that cannot be parsed.
