//! What a person asks for with balancer-manager's form, in the field names of `mod_proxy_balancer`'s
//! own page, so that scripts written for that one go on working.

use crate::board::record::flags;
use crate::board::values::{LBSET_MAX, WEIGHT_MAX, WEIGHT_MIN};

/// The states a person may switch, and their fields: `w_status_D=1` disables.
pub const STATES: [(u32, &str, &str); 6] = [
    (flags::DISABLED, "w_status_D", "disabled"),
    (flags::STOPPED, "w_status_S", "stopped"),
    (flags::DRAIN, "w_status_N", "draining"),
    (flags::STANDBY, "w_status_H", "standby"),
    (flags::SPARE, "w_status_R", "spare"),
    (flags::IGNORE_ERRORS, "w_status_I", "ignore errors"),
];

/// One submitted form. What it does not name stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// `b`: the farm.
    pub farm: String,
    /// `w`: the member, by its URL.
    pub member: String,
    /// `nonce`: what the page was given.
    pub nonce: String,
    /// `w_lf`: the weight, in hundredths.
    pub weight: Option<u32>,
    /// `w_ls`: the set.
    pub lbset: Option<u32>,
    /// [`flags`] to set.
    pub set: u32,
    /// [`flags`] to clear.
    pub clear: u32,
}

/// Why a form is refused: nothing of it is done then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A field this page does not have.
    #[error("unknown field {0:?}")]
    Unknown(String),
    /// A field twice.
    #[error("field {0:?} stands twice")]
    Twice(String),
    /// A value that is not allowed.
    #[error("{field}={value}: must be {allowed}")]
    Value {
        /// The field.
        field: String,
        /// What it said.
        value: String,
        /// What it may say.
        allowed: &'static str,
    },
}

impl Form {
    /// Reads fields and values, decoded.
    ///
    /// # Errors
    ///
    /// See [`FormError`].
    pub fn of<'a>(
        fields: impl IntoIterator<Item = (impl AsRef<str> + 'a, impl AsRef<str> + 'a)>,
    ) -> Result<Self, FormError> {
        let mut form = Self::default();
        let mut seen = Vec::new();
        for (field, value) in fields {
            let (field, value) = (field.as_ref(), value.as_ref());
            if seen.iter().any(|earlier| earlier == field) {
                return Err(FormError::Twice(field.to_owned()));
            }
            form.take(field, value)?;
            seen.push(field.to_owned());
        }
        Ok(form)
    }

    fn take(&mut self, field: &str, value: &str) -> Result<(), FormError> {
        let wrong = |allowed| FormError::Value {
            field: field.to_owned(),
            value: value.to_owned(),
            allowed,
        };
        match field {
            "b" => value.clone_into(&mut self.farm),
            "w" => value.clone_into(&mut self.member),
            "nonce" => value.clone_into(&mut self.nonce),
            "w_lf" => {
                let weight = hundredths(value).ok_or_else(|| wrong("from 0.01 to 100"))?;
                self.weight = Some(weight);
            }
            "w_ls" => {
                let set = value.parse().ok().filter(|set| *set <= LBSET_MAX);
                self.lbset = Some(set.ok_or_else(|| wrong("a whole number from 0 to 99"))?);
            }
            _ => {
                let state = STATES.iter().find(|(_, name, _)| *name == field);
                let (flag, ..) = state.ok_or_else(|| FormError::Unknown(field.to_owned()))?;
                match value {
                    "1" => self.set |= flag,
                    "0" => self.clear |= flag,
                    _ => return Err(wrong("0 or 1")),
                }
            }
        }
        Ok(())
    }

    /// The flags of a member after the change.
    pub const fn flags(&self, before: u32) -> u32 {
        before & !self.clear | self.set
    }
}

/// `loadfactor` as `mod_proxy` writes it: up to two decimals count.
fn hundredths(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || part.len() > 2 || !digits(whole) || !digits(part) {
        return None;
    }
    let part: u32 = format!("{part:0<2}").parse().ok()?;
    let weight = whole.parse::<u32>().ok()? * 100 + part;
    (WEIGHT_MIN..=WEIGHT_MAX)
        .contains(&weight)
        .then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(field: &str, value: &str) -> String {
        Form::of([(field, value)]).unwrap_err().to_string()
    }

    #[test]
    fn a_form_names_what_changes() {
        let form = Form::of([
            ("b", "farm_one"),
            ("w", "http://10.0.0.1:8080"),
            ("w_lf", "2.5"),
            ("w_ls", "7"),
            ("w_status_D", "1"),
            ("w_status_N", "0"),
        ])
        .unwrap();
        assert_eq!((form.weight, form.lbset), (Some(250), Some(7)));
        assert_eq!(
            form.flags(flags::DRAIN | flags::SPARE),
            flags::DISABLED | flags::SPARE
        );
        assert_eq!(Form::of([("b", "x")]).unwrap().flags(0x7f), 0x7f);
    }

    #[test]
    fn weights_as_the_page_shows_them() {
        for (text, weight) in [
            ("1", 100),
            ("0.01", 1),
            ("100.00", 10_000),
            ("2.", 200),
            ("07", 700),
        ] {
            assert_eq!(hundredths(text), Some(weight), "{text}");
        }
        for text in [
            "0", "0.00", "100.01", "", ".5", "1.005", "-1", "1e2", "nan", " 1", "9999", "+1",
        ] {
            assert_eq!(hundredths(text), None, "{text}");
        }
    }

    #[test]
    fn a_refusal_names_field_and_value() {
        assert_eq!(
            refused("w_ls", "100"),
            "w_ls=100: must be a whole number from 0 to 99"
        );
        assert_eq!(
            refused("w_status_D", "yes"),
            "w_status_D=yes: must be 0 or 1"
        );
        assert_eq!(refused("w_status_E", "1"), "unknown field \"w_status_E\"");
        let twice = Form::of([("w_ls", "1"), ("w_ls", "2")]).unwrap_err();
        assert_eq!(twice.to_string(), "field \"w_ls\" stands twice");
    }

    proptest! {
        #[test]
        fn any_form_is_survived(fields in prop::collection::vec((".*", ".*"), 0..5)) {
            if let Ok(form) = Form::of(fields) {
                prop_assert_eq!(form.set & form.clear, 0);
            }
        }
    }
}
