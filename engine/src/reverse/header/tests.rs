use super::*;
use proptest::prelude::*;

/// Every URL with an `m` becomes `Z`.
fn to_z(text: &[u8]) -> Replaced {
    text.contains(&b'm').then(|| b"Z".to_vec())
}

type Reader = fn(&[u8], fn(&[u8]) -> Replaced) -> Replaced;

fn check(read: Reader, table: &[(&str, Option<&str>)]) {
    for (value, expected) in table {
        let read = read(value.as_bytes(), to_z).map(|value| String::from_utf8(value).unwrap());
        assert_eq!(read.as_deref(), *expected, "{value}");
    }
}

#[test]
fn refreshes() {
    check(
        |value, map| refresh(value, map),
        &[
            ("5; url=http://m/", Some("5; url=Z")),
            ("0;URL=http://m/", Some("0;URL=Z")),
            ("5;url = http://m/ ", Some("5;url = Z ")),
            ("5, http://m/", Some("5, Z")),
            ("5 http://m/", Some("5 Z")),
            ("1.5;http://m/", Some("1.5;Z")),
            ("5; url='http://m/'x", Some("5; url='Z'x")),
            ("5; url=\"http://m/", Some("5; url=\"Z")),
            ("5; 'http://m/'", Some("5; 'Z'")),
            ("5; url=http://n/", None),
            ("5", None),
            ("5;", None),
            ("5; url", None),
            ("5; url=", None),
            ("5; url='", None),
            ("http://m/", None),
            ("", None),
        ],
    );
}

#[test]
fn links() {
    check(
        |value, map| link(value, map),
        &[
            ("<http://m/>; rel=next", Some("<Z>; rel=next")),
            ("<m>,<n> , <m>;a=b", Some("<Z>,<n> , <Z>;a=b")),
            ("< m >", Some("< Z >")),
            (
                "<n>; title=\"a,<m>\", <m>",
                Some("<n>; title=\"a,<m>\", <Z>"),
            ),
            (r#"<n>; t="a\",<m>", <m>"#, Some(r#"<n>; t="a\",<m>", <Z>"#)),
            (", ,<m,;m>", Some(", ,<Z>")),
            ("<n>; title=\"open, <m>", None),
            ("m; rel=next, <m>", None),
            ("<m", None),
            ("<>", None),
            ("<", None),
            ("", None),
        ],
    );
}

#[test]
fn plain_urls() {
    check(
        |value, map| url(value, map),
        &[
            ("m", Some("Z")),
            (" m ", Some(" Z ")),
            ("n", None),
            ("", None),
        ],
    );
}

#[test]
fn cookies() {
    fn both(value: &[u8]) -> Option<String> {
        cookie(value, |scope, text| {
            let text = text.to_ascii_uppercase();
            (!text.is_empty()).then(|| [format!("{scope:?}:").as_bytes(), &text].concat())
        })
        .map(|value| String::from_utf8(value).unwrap())
    }
    let table = [
        (
            "a=b; Domain=h; Path=/x",
            Some("a=b; Domain=Domain:H; Path=Path:/X"),
        ),
        (
            "a=b;path=/x;DOMAIN = h ;Secure",
            Some("a=b;path=Path:/X;DOMAIN = Domain:H ;Secure"),
        ),
        (
            "a=b; Domain=h; Domain=i",
            Some("a=b; Domain=Domain:H; Domain=Domain:I"),
        ),
        ("Domain=h", None),
        ("path=/x; Max-Age=3; domain", None),
        ("a=b; Domain=", None),
        ("a=b; x-domain=h", None),
        (";domain=h", Some(";domain=Domain:H")),
        (";;;", None),
        ("", None),
    ];
    for (value, expected) in table {
        assert_eq!(both(value.as_bytes()).as_deref(), expected, "{value}");
    }
}

proptest! {
    #![proptest_config(crate::testing::seeded())]

    /// Whatever comes, a map that changes nothing leaves every byte as it was.
    #[test]
    fn any_bytes_are_safe(
        value in prop::collection::vec(any::<u8>(), 0..60),
        likely in "[5;,<> \"'\\\\=urlUdomainpath/]{0,60}",
    ) {
        for value in [value.as_slice(), likely.as_bytes()] {
            for read in [
                (|value, map| url(value, map)) as Reader,
                |value, map| refresh(value, map),
                |value, map| link(value, map),
            ] {
                let same = read(value, |text| Some(text.to_vec()));
                prop_assert!(same.is_none_or(|same| same == value));
                prop_assert_eq!(read(value, |_| None), None);
            }
            let same = cookie(value, |_, text| Some(text.to_vec()));
            prop_assert!(same.is_none_or(|same| same == value));
        }
    }
}
