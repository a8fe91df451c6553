//! An engine that plays a script: for tests of everything around engines, and for load without compute.
