#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| portunus_mcp::fuzz::envelope(data));
