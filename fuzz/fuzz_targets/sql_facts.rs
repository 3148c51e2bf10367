#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| portunus_policy::fuzz::sql_facts(data));
