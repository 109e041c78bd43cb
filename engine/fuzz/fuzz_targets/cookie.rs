//! The signed cookie: no bytes but those that were signed are believed.
#![no_main]

use std::sync::LazyLock;

use athena_engine::cookie::{Claims, Key, Keys, header};

const NOW: u64 = 1_700_000_000;

static KEY: LazyLock<(Keys, String)> = LazyLock::new(|| {
    let key = Key::new("k1", &[7; 32]).unwrap();
    let claims = Claims::parse(b"expires=1700003600\nfarms=f\nmember=a\nclass=gold").unwrap();
    let mut keys = Keys::default();
    keys.add(key).unwrap();
    let signed = keys.sign(&claims).unwrap();
    (keys, signed)
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (keys, signed) = &*KEY;
    assert!(keys.verify(signed.as_bytes(), "f", NOW).is_ok());
    if bytes != signed.as_bytes() {
        assert!(keys.verify(bytes, "f", NOW).is_err());
    }
    let _ = keys.open(bytes);
    if let Some(value) = header::value(bytes, b"ATHENA") {
        assert!(bytes.get(value).is_some());
    }
});
