//! Entity tags that a request names (RFC 9110, 8.8.3): the values of `If-Match` and `If-None-Match`.

/// What filters that compress an answer put at the end of its tag (`mod_deflate`, `mod_brotli`).
const CODINGS: [&str; 2] = ["-gzip", "-br"];

/// `*`, or a list of tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named<'t> {
    /// Any.
    Any,
    /// These.
    Tags(Vec<Tag<'t>>),
}

/// One tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag<'t> {
    weak: bool,
    /// What stands between its quotes.
    opaque: &'t str,
}

impl<'t> Named<'t> {
    /// Reads a header's value; `None`: it names nothing, or is no list of tags.
    pub fn read(text: &'t str) -> Option<Self> {
        if text.trim() == "*" {
            return Some(Self::Any);
        }
        let mut tags = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if let Some(next) = rest.strip_prefix(',') {
                rest = next.trim_start();
                continue;
            }
            let (tag, behind) = Tag::first(rest)?;
            tags.push(tag);
            rest = behind.trim_start();
            if !rest.is_empty() && !rest.starts_with(',') {
                return None;
            }
        }
        (!tags.is_empty()).then_some(Self::Tags(tags))
    }

    /// Whether a strong tag is among them, by the strong comparison (8.8.3.2).
    pub fn has(&self, tag: &str) -> bool {
        self.any(tag, |named| !named.weak)
    }

    /// Whether a tag is among them, by the weak comparison.
    pub fn has_like(&self, tag: &str) -> bool {
        self.any(tag, |_| true)
    }

    fn any(&self, tag: &str, may: impl Fn(&Tag<'_>) -> bool) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => Tag::first(tag).is_some_and(|(tag, _)| {
                let mut tags = tags.iter();
                tags.any(|named| may(named) && named.plain() == tag.opaque)
            }),
        }
    }
}

impl<'t> Tag<'t> {
    /// The tag that a text begins with, and what follows.
    fn first(text: &'t str) -> Option<(Self, &'t str)> {
        let behind_mark = text.strip_prefix("W/");
        let weak = behind_mark.is_some();
        let inner = behind_mark.unwrap_or(text).strip_prefix('"')?;
        let (opaque, behind) = inner.split_once('"')?;
        Some((Self { weak, opaque }, behind))
    }

    /// As it was before the answer was compressed.
    fn plain(&self) -> &'t str {
        let mut codings = CODINGS.iter();
        let cut = codings.find_map(|with| self.opaque.strip_suffix(with));
        cut.unwrap_or(self.opaque)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strong_tag_is_named_as_it_is() {
        for (named, has) in [
            ("*", true),
            ("\"a\"", true),
            ("\"b\", \"a\"", true),
            (" , \"b\",\"a\" ,", true),
            ("\"a-gzip\"", true),
            ("\"a-br\"", true),
            ("\"b,c\" , \"a\"", true),
            ("\"b\"", false),
            ("\"a-zip\"", false),
            ("W/\"a\"", false),
        ] {
            assert_eq!(
                Named::read(named).map(|named| named.has("\"a\"")),
                Some(has),
                "{named}"
            );
        }
    }

    #[test]
    fn a_weak_comparison_takes_both() {
        for (named, has) in [
            ("W/\"a\"", true),
            ("\"a\"", true),
            ("W/\"b\"", false),
            ("*", true),
        ] {
            assert_eq!(
                Named::read(named).map(|named| named.has_like("W/\"a\"")),
                Some(has),
                "{named}"
            );
        }
    }

    #[test]
    fn what_is_no_list_of_tags() {
        for text in [
            "",
            " ",
            ",",
            "a",
            "\"a",
            "a\"",
            "W/a",
            "w/\"a\"",
            "\"a\" \"b\"",
            "\"a\", b",
            "\"a\"b",
            "*, \"a\"",
        ] {
            assert_eq!(Named::read(text), None, "{text}");
        }
    }
}
