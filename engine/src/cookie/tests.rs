use super::*;
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn keys(named: &[(&str, &[u8])]) -> Keys {
    let mut keys = Keys::default();
    for (id, secret) in named {
        let key = Key::new(id, secret).expect("a good key");
        keys.add(key).expect("a name of its own");
    }
    keys
}

fn one_key() -> Keys {
    keys(&[("a", SECRET)])
}

fn claims(farms: &[&str]) -> Claims {
    Claims {
        expires: 1000,
        farms: farms.iter().map(ToString::to_string).collect(),
        member: Some("10.0.0.1:80".to_owned()),
        class: None,
    }
}

// ---- the published vectors ---------------------------------------------------------------------

#[derive(Deserialize)]
struct Vectors {
    keys: BTreeMap<String, String>,
    signed: Vec<Signed>,
    verified: Vec<Verified>,
}

#[derive(Deserialize)]
struct Signed {
    name: String,
    key: String,
    expires: u64,
    farms: String,
    member: Option<String>,
    class: Option<String>,
    cookie: String,
}

#[derive(Deserialize)]
struct Verified {
    name: String,
    cookie: String,
    farm: String,
    now: u64,
    result: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../docs/cookie-vectors.json")).expect("vectors")
}

#[test]
fn signs_as_published() {
    let vectors = vectors();
    for vector in vectors.signed {
        let claims = Claims {
            expires: vector.expires,
            farms: vector.farms.split(',').map(str::to_owned).collect(),
            member: vector.member,
            class: vector.class,
        };
        let secret = vectors.keys[&vector.key].as_bytes();
        let cookie = keys(&[(&vector.key, secret)]).sign(&claims);
        assert_eq!(cookie.as_ref(), Some(&vector.cookie), "{}", vector.name);
    }
}

#[test]
fn verifies_as_published() {
    let vectors = vectors();
    let named: Vec<_> = vectors
        .keys
        .iter()
        .map(|(id, secret)| (id.as_str(), secret.as_bytes()))
        .collect();
    let keys = keys(&named);
    for vector in vectors.verified {
        let result = match keys.verify(vector.cookie.as_bytes(), &vector.farm, vector.now) {
            Ok(_) => "accepted",
            Err(refusal) => refusal.word(),
        };
        assert_eq!(result, vector.result, "{}", vector.name);
    }
}

// ---- keys --------------------------------------------------------------------------------------

#[test]
fn any_key_verifies_and_the_first_signs() {
    let both = keys(&[
        ("new", b"another secret of 32 bytes or so."),
        ("old", SECRET),
    ]);
    let old = keys(&[("old", SECRET)]);
    let by_old = old.sign(&claims(&["f"])).expect("signed");
    assert!(both.verify(by_old.as_bytes(), "f", 0).is_ok());
    let by_both = both.sign(&claims(&["f"])).expect("signed");
    assert!(by_both.starts_with("v1.new."));
    assert_eq!(old.verify(by_both.as_bytes(), "f", 0), Err(Refusal::Forged));
}

#[test]
fn a_line_end_is_no_part_of_a_secret() {
    let cookie = one_key().sign(&claims(&["f"]));
    for end in ["\n", "\r\n", "\n\n"] {
        let secret = [SECRET, end.as_bytes()].concat();
        assert_eq!(keys(&[("a", &secret)]).sign(&claims(&["f"])), cookie);
    }
}

#[test]
fn keys_that_are_refused() {
    let new = |id: &str, secret: &[u8]| Key::new(id, secret).map(drop);
    for id in ["", "a.b", "a b", "ä", &"a".repeat(33)] {
        assert!(matches!(new(id, SECRET), Err(KeyError::Id)), "{id}");
    }
    let short = SECRET.strip_suffix(b"f").unwrap_or_default();
    assert!(matches!(new("a", short), Err(KeyError::Length(31))));
    assert!(matches!(new("a", &[b'\n'; 40]), Err(KeyError::Length(0))));
    assert!(matches!(
        new("a", &[b'x'; 1025]),
        Err(KeyError::Length(1025))
    ));
    let mut keys = one_key();
    let again = Key::new("a", SECRET).expect("a good key");
    assert!(matches!(keys.add(again), Err(KeyError::Taken)));
    assert_eq!(format!("{keys:?}"), "Keys([Key(a)])");
}

#[test]
fn files_of_keys() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let directory = std::env::temp_dir().join(format!("athena-keys-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let file = directory.join("key");
    let read = |mode: u32, secret: &[u8]| {
        std::fs::write(&file, secret).expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("mode");
        Key::read("a", &file)
    };
    for mode in [0o600, 0o400, 0o640] {
        assert!(read(mode, SECRET).is_ok(), "{mode:o}");
    }
    for mode in [0o644, 0o602, 0o601] {
        assert!(matches!(read(mode, SECRET), Err(KeyError::Open(is)) if is == mode));
    }
    assert!(matches!(read(0o600, b"short"), Err(KeyError::Length(5))));
    assert!(matches!(
        read(0o600, &[b'x'; 4096]),
        Err(KeyError::Length(_))
    ));
    assert!(read(0o600, SECRET).is_ok());
    let link = directory.join("link");
    symlink(&file, &link).expect("a link");
    assert!(Key::read("a", &link).is_ok());
    assert!(matches!(
        Key::read("a", &directory),
        Err(KeyError::NotRegular)
    ));
    let pipe = directory.join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    assert!(matches!(Key::read("a", &pipe), Err(KeyError::NotRegular)));
    let nothing = Key::read("a", &directory.join("nothing"));
    assert!(matches!(nothing, Err(KeyError::Unreadable(_))));
    std::fs::remove_dir_all(&directory).expect("removed");
}

// ---- handles -----------------------------------------------------------------------------------

#[test]
fn handles_come_back_and_say_nothing() {
    let keys = one_key();
    let cookie = keys.sign(&claims(&["f"])).expect("signed");
    let handle = keys.seal(cookie.as_bytes(), [1; NONCE]).expect("sealed");
    assert!(is_handle(handle.as_bytes()) && !is_handle(cookie.as_bytes()));
    assert_eq!(
        keys.open(handle.as_bytes()),
        Ok(cookie.clone().into_bytes())
    );
    assert_ne!(
        keys.seal(cookie.as_bytes(), [2; NONCE]),
        Some(handle.clone())
    );
    // One is not taken for the other.
    assert_eq!(
        keys.verify(handle.as_bytes(), "f", 0),
        Err(Refusal::Malformed)
    );
    assert_eq!(keys.open(cookie.as_bytes()), Err(Refusal::Malformed));
    let others = super::tests::keys(&[("a", b"another secret of 32 bytes or so.")]);
    assert_eq!(others.open(handle.as_bytes()), Err(Refusal::Forged));
    let renamed = handle.replacen("w1.a.", "w1.b.", 1);
    assert_eq!(keys.open(renamed.as_bytes()), Err(Refusal::Forged));
}

#[test]
fn what_is_not_sealed() {
    let seal = |value: &[u8]| one_key().seal(value, [0; NONCE]);
    let longest = vec![b'x'; COOKIE_MAX];
    let handle = seal(&longest).expect("sealed");
    assert_eq!(one_key().open(handle.as_bytes()), Ok(longest.clone()));
    for value in [
        b"".as_slice(),
        b"a b",
        b"a;b",
        b"a,b",
        b"a\"",
        b"\xe4",
        b"a\r\nX: y",
    ] {
        assert_eq!(seal(value), None, "{value:?}");
    }
    assert_eq!(seal(&[longest.as_slice(), b"x"].concat()), None);
    assert_eq!(Keys::default().seal(b"x", [0; NONCE]), None);
}

// ---- settings ----------------------------------------------------------------------------------

#[test]
fn settings_of_virtual_hosts() {
    let mut main = Settings::default();
    assert!(main.keys().is_none() && main.name() == "ATHENA" && !main.wraps());
    main.set_name("ID").expect("a name");
    main.set_mode("Wrap").expect("a mode");
    main.keys = one_key();
    let host = Settings::default().or(&main);
    assert!(host.keys().is_some() && host.name() == "ID" && host.wraps());
    let mut own = Settings::default();
    own.set_mode("pass").expect("a mode");
    own.keys = keys(&[("b", SECRET)]);
    let host = own.or(&main);
    assert!(host.name() == "ID" && !host.wraps());
    let by_main = main.keys.sign(&claims(&["f"])).expect("signed");
    let verified = host
        .keys()
        .expect("keys")
        .verify(by_main.as_bytes(), "f", 0);
    assert_eq!(verified, Err(Refusal::Forged));
}

#[test]
fn settings_that_are_refused() {
    let mut settings = Settings::default();
    for name in ["", "a b", "a=b", "a;b", "ä", &"a".repeat(65)] {
        let refused = settings.set_name(name);
        assert!(
            refused.is_err_and(|text| text.starts_with(&format!("AthCookieName {name}: must")))
        );
    }
    let refused = settings.set_mode("seal");
    assert_eq!(
        refused,
        Err("AthCookieMode seal: must be pass or wrap".to_owned())
    );
    let refused = settings.add_key("a", std::path::Path::new("/nowhere"));
    assert!(refused.is_err_and(|text| text.starts_with("AthCookieKey a file:/nowhere: cannot be")));
}

// ---- headers -----------------------------------------------------------------------------------

#[test]
fn set_cookie_headers() {
    let table = [
        ("A=1", Some("1")),
        ("A=1; Path=/", Some("1")),
        (" A = 1 ;x", Some("1")),
        ("A=\"1\"; Path=/", Some("1")),
        ("A=; Max-Age=0", Some("")),
        ("A", None),
        ("AA=1", None),
        ("a=1", None),
        ("B=1; A=2", None),
        ("", None),
    ];
    for (line, expected) in table {
        let range = header::set_value(line.as_bytes(), b"A");
        let found = range.clone().and_then(|range| line.get(range));
        assert_eq!(found, expected, "{line}");
        if let Some(range) = range {
            let replaced = header::replace(line.as_bytes(), range.clone(), b"new");
            let expected = format!("{}new{}", &line[..range.start], &line[range.end..]);
            assert_eq!(replaced, Some(expected.into_bytes()));
        }
    }
}

// ---- properties --------------------------------------------------------------------------------

fn any_claims() -> impl Strategy<Value = Claims> {
    let farms = prop::collection::vec("[a-z0-9._-]{1,20}", 1..=FARMS_MAX);
    let optional = || prop::option::of("[ -~]{1,60}");
    (0..4_000_000_000_u64, farms, optional(), optional()).prop_map(
        |(expires, farms, member, class)| Claims {
            expires,
            farms,
            member,
            class,
        },
    )
}

/// Bytes near to a cookie, and far from one.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "v1",
        "w1",
        ".",
        "a",
        "=",
        "-",
        "_",
        "expires=1",
        "ZXhwaXJlcz0x",
        "\n",
        "\0",
        "\u{ff}",
    ];
    let piece = prop_oneof![
        prop::sample::select(pieces.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

/// Each bit of a text flipped in turn.
fn flipped(text: &str) -> impl Iterator<Item = Vec<u8>> {
    (0..text.len() * 8).map(|bit| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    })
}

proptest! {
    #[test]
    fn what_is_signed_is_read_back(claims in any_claims()) {
        let keys = one_key();
        let cookie = keys.sign(&claims).expect("signed");
        let farm = claims.farms[claims.farms.len() - 1].clone();
        prop_assert_eq!(keys.verify(cookie.as_bytes(), &farm, claims.expires), Ok(claims.clone()));
        let late = claims.expires + SKEW + 1;
        prop_assert_eq!(keys.verify(cookie.as_bytes(), &farm, late), Err(Refusal::Expired));
        prop_assert_eq!(keys.verify(cookie.as_bytes(), "none", 0), Err(Refusal::Foreign));
    }

    #[test]
    fn hostile_bytes(bytes in soup()) {
        prop_assert!(one_key().verify(&bytes, "f", 0).is_err());
        prop_assert!(one_key().open(&bytes).is_err());
    }

    #[test]
    fn every_text_is_its_claims_or_nothing(text in soup()) {
        if let Some(claims) = Claims::parse(&text) {
            let written = claims.to_string();
            prop_assert_eq!(Claims::parse(written.as_bytes()), Some(claims));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]
    #[test]
    fn every_flipped_bit_is_refused(claims in any_claims(), nonce: [u8; NONCE]) {
        let keys = one_key();
        let cookie = keys.sign(&claims).expect("signed");
        for flipped in flipped(&cookie) {
            prop_assert!(keys.verify(&flipped, &claims.farms[0], 0).is_err());
        }
        let handle = keys.seal(cookie.as_bytes(), nonce).expect("sealed");
        for flipped in flipped(&handle) {
            prop_assert!(keys.open(&flipped).is_err());
        }
    }
}

/// No bytes without a signature by the key are taken, however near to a cookie they are.
#[test]
fn hundred_thousand_mutations_are_refused() {
    let keys = one_key();
    let cookie = keys.sign(&claims(&["f", "g"])).expect("signed");
    let handle = keys.seal(cookie.as_bytes(), [7; NONCE]).expect("sealed");
    let mut random = fastrand::Rng::with_seed(20);
    for _ in 0..100_000 {
        let original = if random.bool() { &cookie } else { &handle };
        let mut bytes = original.as_bytes().to_vec();
        for _ in 0..random.usize(1..4) {
            let (from, to) = (random.usize(..bytes.len()), random.usize(..bytes.len()));
            match random.u8(0..5) {
                0 => bytes[from] = random.u8(..),
                1 => bytes.truncate(from.max(1)),
                2 => bytes.swap(from, to),
                3 => bytes.insert(from, b"._-=Aa"[random.usize(..6)]),
                _ => bytes.extend_from_within(from.min(to)..from.max(to)),
            }
        }
        if bytes != original.as_bytes() {
            assert!(
                keys.verify(&bytes, "f", 0).is_err(),
                "{}",
                bytes.escape_ascii()
            );
            assert!(keys.open(&bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
