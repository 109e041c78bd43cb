//! `ProxyPassReverse … balancer://NAME/` lines, marked before `mod_proxy` reads them.
//!
//! `mod_proxy` maps with such a line by itself, and takes the first one whose members match: of
//! two mounts of one farm perhaps the wrong one, and `http://h:1900` for `http://h:19001`. A scheme
//! that it does not know leaves the line to [`crate::reverse`].

use super::words;

/// Stands before the scheme of a marked line's URL.
const MARK: &str = "athena+";

/// Marks the farm on a `ProxyPassReverse` line; `None`: it names none as `balancer://`.
pub fn put(args: &str) -> Option<String> {
    let mut at = 0;
    while let Some(word) = words::word(args, at) {
        let scheme = word.text.get(..SCHEME.len());
        if scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME)) {
            let marked = words::quote(&format!("{MARK}{}", word.text));
            return Some(format!(
                "{}{marked} {}",
                args.get(..word.span.start)?,
                args.get(word.next..)?
            ));
        }
        at = word.next;
    }
    None
}

/// Whether a line's URL is marked.
pub fn is_on(url: &[u8]) -> bool {
    url.starts_with(MARK.as_bytes())
}

/// A line's URL as its author wrote it.
pub fn off(url: &[u8]) -> &[u8] {
    url.strip_prefix(MARK.as_bytes()).unwrap_or(url)
}

const SCHEME: &str = "balancer://";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_farm_is_marked() {
        let table = [
            (
                "/r/ balancer://farm/x/",
                Some("/r/ \"athena+balancer://farm/x/\" "),
            ),
            (
                "\"/a b/\" \"Balancer://farm/\" interpolate",
                Some("\"/a b/\" \"athena+Balancer://farm/\" interpolate"),
            ),
            (
                "balancer://farm interpolate",
                Some("\"athena+balancer://farm\" interpolate"),
            ),
            ("/r/ http://farm/x/", None),
            ("/r/ http://x/balancer://farm", None),
            ("/balancer://farm/ /x/", None),
            ("balancer:/", None),
            ("", None),
        ];
        for (args, expected) in table {
            assert_eq!(put(args).as_deref(), expected, "{args}");
        }
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        #[test]
        fn a_mark_comes_off_again(
            path in "[ -~]{0,9}",
            url in "(balancer|http)://[ -~é]{0,9}",
        ) {
            let args = format!("{} {}", words::quote(&format!("/{path}")), words::quote(&url));
            let marked = put(&args).unwrap_or_else(|| args.clone());
            let words: Vec<_> = words::split(&marked).collect();
            let [first, second] = words.as_slice() else {
                return Err(TestCaseError::fail(marked));
            };
            prop_assert_eq!(&**first, format!("/{path}"));
            prop_assert_eq!(off(second.as_bytes()), url.as_bytes());
            prop_assert_eq!(is_on(second.as_bytes()), url.starts_with("balancer"));
        }

        #[test]
        fn any_text_is_safe(args in any::<String>()) {
            let _ = put(&args);
        }
    }
}
