//! The text requests: what is refused names a position within, what is taken is bounded.
#![no_main]

use athena_engine::query::{BODY_REQUESTS_MAX, Kind, Limits, Text, parse};

const PATHS: [&str; 8] = [
    "balance",
    "status/farm",
    "status/phys",
    "status/engine",
    "update/farm",
    "update/phys",
    "mirror/farm",
    "mirror/phys",
];

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((choice, text)) = input.split_first() else {
        return;
    };
    let kind = Kind::of_path(PATHS[usize::from(choice & 7)]).unwrap();
    let body = choice & 8 != 0;
    let limits = Limits {
        requests: if body { BODY_REQUESTS_MAX } else { 16 },
        diverse: choice & 16 != 0,
    };
    let read = if body {
        Text::of_body(text)
    } else {
        Text::of_query(text)
    };
    let Ok(read) = read else { return };
    match parse(kind, &read, limits) {
        Ok(requests) => assert!(requests.len() <= limits.requests),
        Err(error) => assert!(!error.to_string().contains(['\n', '\0'])),
    }
});
