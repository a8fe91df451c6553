//! Hands libFuzzer's bytes to `fuzz::pushed::snapshot`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::pushed::snapshot(bytes);
});
