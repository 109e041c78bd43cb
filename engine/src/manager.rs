//! What a person asks for with balancer-manager's form, in the field names of `mod_proxy_balancer`'s
//! own page, so that scripts written for that one go on working.

use crate::board::record::flags;
use crate::board::values::LBSET_MAX;
use crate::change::{MemberChange, hundredths};
use crate::config::value::{self, Must};

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
    /// What changes.
    pub change: MemberChange,
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
    #[error("{field}={value}: {must}")]
    Value {
        /// The field.
        field: String,
        /// What it said.
        value: String,
        /// What it may say.
        must: Must,
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
        let wrong = |must| FormError::Value {
            field: field.to_owned(),
            value: value.to_owned(),
            must,
        };
        match field {
            "b" => value.clone_into(&mut self.farm),
            "w" => value.clone_into(&mut self.member),
            "nonce" => value.clone_into(&mut self.nonce),
            "w_lf" => self.change.weight = Some(hundredths(value).map_err(wrong)?),
            "w_ls" => self.change.lbset = Some(value::number(value, 0..=LBSET_MAX).map_err(wrong)?),
            _ => {
                let state = STATES.iter().find(|(_, name, _)| *name == field);
                let (flag, ..) = state.ok_or_else(|| FormError::Unknown(field.to_owned()))?;
                match value {
                    "1" => self.change.flag(*flag, true),
                    "0" => self.change.flag(*flag, false),
                    _ => return Err(wrong("must be 0 or 1".to_owned())),
                }
            }
        }
        Ok(())
    }
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
        let change = MemberChange {
            weight: Some(250),
            lbset: Some(7),
            max_conn: None,
            set: flags::DISABLED,
            clear: flags::DRAIN,
            ..MemberChange::default()
        };
        assert_eq!(form.change, change);
        assert_eq!(
            Form::of([("b", "x")]).unwrap().change,
            MemberChange::default()
        );
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
                prop_assert_eq!(form.change.set & form.change.clear, 0);
            }
        }
    }
}
