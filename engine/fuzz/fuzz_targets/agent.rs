//! The words of an agent: anything is read, nothing is said twice differently.
#![no_main]

use athena_engine::agent::Words;
use athena_engine::board::record::MemberAdmin;

libfuzzer_sys::fuzz_target!(|answer: &[u8]| {
    let words = Words::read(answer);
    let admin = MemberAdmin::default();
    words.apply(&admin);
    assert_eq!(words.apply(&admin), None, "said once, said for all");
});
