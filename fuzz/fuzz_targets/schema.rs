//! Hands libFuzzer's bytes to `fuzz::targets::schema`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::targets::schema(bytes);
});
