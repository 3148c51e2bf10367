#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| portunus_policy::fuzz::policy_load(data));
