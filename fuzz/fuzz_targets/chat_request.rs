//! Hands libFuzzer's bytes to `fuzz::targets::chat_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::targets::chat_request(bytes);
});
