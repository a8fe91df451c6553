//! Hands libFuzzer's bytes to `fuzz::targets::output`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::targets::output(bytes);
});
