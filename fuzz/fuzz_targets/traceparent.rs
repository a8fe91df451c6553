//! Hands libFuzzer's bytes to `fuzz::pushed::traceparent`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::pushed::traceparent(bytes);
});
