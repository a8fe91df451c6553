//! Hands libFuzzer's bytes to `fuzz::pushed::records`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::pushed::records(bytes);
});
