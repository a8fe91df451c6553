//! The whole surface, called in process.
