//! Hands libFuzzer's bytes to `fuzz::targets::response_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::targets::response_request(bytes);
});
