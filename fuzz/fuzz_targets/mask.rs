#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| portunus_disclose::fuzz::mask(data));
