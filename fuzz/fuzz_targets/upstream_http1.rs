//! Hands libFuzzer's bytes to `fuzz::targets::upstream_http1`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::targets::upstream_http1(bytes);
});
