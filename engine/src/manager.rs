//! What a person asks for with a form of the manager's page, in the field names of
//! `mod_proxy_balancer`'s own page, so that scripts written for that one go on working.

use crate::board::record::flags;
use crate::change::{FarmChange, MemberChange};
use crate::config::param::ParamError;
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

/// What the stock page calls some of the keys that can be changed.
const SHORT: [(&str, &str); 5] = [
    ("lf", "weight"),
    ("ls", "lbset"),
    ("wr", "route"),
    ("rr", "redirect"),
    ("lbm", "method"),
];

/// One submitted form. What it does not name stays as it is. `w_KEY` is about the member, `b_KEY` about
/// the farm, the keys being those of [`MemberChange::KEYS`] and [`FarmChange::KEYS`]; an empty field
/// says `none`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// `b`: the farm.
    pub farm: String,
    /// `w`: the member, by its URL; empty for none.
    pub member: String,
    /// `nonce`: what the page was given.
    pub nonce: String,
    /// `seen`: the tag of what the page showed; empty where any will do.
    pub seen: String,
    /// `add`: the URL of a member to add.
    pub add: Option<String>,
    /// `add_KEY`: what its line says.
    pub line: Vec<(String, String)>,
    /// `remove`: the member goes, with `1` at once.
    pub remove: Option<bool>,
    /// What changes of the farm.
    pub of_farm: FarmChange,
    /// What changes of the member.
    pub of_member: MemberChange,
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
    /// Fields that do not go together.
    #[error("a form changes, adds or removes: one of these")]
    Mixed,
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

impl FormError {
    fn value(field: &str, value: &str, must: Must) -> Self {
        Self::Value {
            field: field.to_owned(),
            value: value.to_owned(),
            must,
        }
    }
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
        let changes =
            form.of_farm != FarmChange::default() || form.of_member != MemberChange::default();
        let adds = form.add.is_some() || !form.line.is_empty();
        if usize::from(changes) + usize::from(adds) + usize::from(form.remove.is_some()) > 1 {
            return Err(FormError::Mixed);
        }
        Ok(form)
    }

    fn take(&mut self, field: &str, value: &str) -> Result<(), FormError> {
        let wrong = |must| FormError::value(field, value, must);
        let place = match field {
            "b" => &mut self.farm,
            "w" => &mut self.member,
            "nonce" => &mut self.nonce,
            "seen" => &mut self.seen,
            "add" => self.add.get_or_insert_default(),
            "remove" => {
                self.remove = Some(value::bit(value).map_err(wrong)?);
                return Ok(());
            }
            _ => return self.change(field, value),
        };
        value.clone_into(place);
        Ok(())
    }

    fn change(&mut self, field: &str, value: &str) -> Result<(), FormError> {
        let wrong = |must| FormError::value(field, value, must);
        if let Some((flag, ..)) = STATES.iter().find(|(_, name, _)| *name == field) {
            self.of_member
                .flag(*flag, value::bit(value).map_err(wrong)?);
            return Ok(());
        }
        let (of, key) = field.split_once('_').unwrap_or_default();
        if of == "add" {
            if !value.is_empty() {
                self.line.push((key.to_owned(), value.to_owned()));
            }
            return Ok(());
        }
        let key = SHORT
            .iter()
            .find(|(short, _)| *short == key)
            .map_or(key, |(_, key)| key);
        let text = if value.is_empty() { "none" } else { value };
        let taken = match of {
            "w" => self.of_member.set(key, text),
            "b" => self.of_farm.set(key, text),
            _ => Err(ParamError::Unknown(field.to_owned())),
        };
        taken.map_err(|error| match error {
            ParamError::Value { must, .. } => wrong(must),
            _ => FormError::Unknown(field.to_owned()),
        })
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
        assert_eq!(form.of_member, change);
        assert_eq!(
            Form::of([("b", "x")]).unwrap().of_member,
            MemberChange::default()
        );
    }

    #[test]
    fn farms_have_fields_too_and_an_empty_one_is_none() {
        let form = Form::of([
            ("b_lbm", "leastconn"),
            ("b_on", "off"),
            ("b_forward", ""),
            ("w_wr", "a"),
            ("w_maxconn", ""),
        ])
        .unwrap();
        let of_farm = FarmChange {
            on: Some(false),
            method: Some("leastconn".to_owned()),
            forward: Some(None),
            ..FarmChange::default()
        };
        assert_eq!(form.of_farm, of_farm);
        assert_eq!(form.of_member.route.as_deref(), Some("a"));
        assert_eq!(form.of_member.max_conn, Some(0));
        for field in ["b_weight", "w_method", "x_on", "b_", "_on", ""] {
            let unknown = FormError::Unknown(field.to_owned());
            assert_eq!(Form::of([(field, "1")]), Err(unknown));
        }
    }

    #[test]
    fn a_form_does_one_thing() {
        let add = Form::of([("add", "http://x"), ("add_weight", "2"), ("add_name", "")]).unwrap();
        assert_eq!(add.add.as_deref(), Some("http://x"));
        assert_eq!(add.line, [("weight".to_owned(), "2".to_owned())]);
        let remove = Form::of([("w", "http://x"), ("remove", "1")]).unwrap();
        assert_eq!(remove.remove, Some(true));
        assert_eq!(refused("remove", "yes"), "remove=yes: must be 0 or 1");
        for mixed in [
            [("add", "http://x"), ("remove", "0")],
            [("add_weight", "2"), ("w_on", "off")],
            [("remove", "1"), ("b_on", "off")],
        ] {
            assert_eq!(Form::of(mixed), Err(FormError::Mixed));
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
                prop_assert_eq!(form.of_member.set & form.of_member.clear, 0);
            }
        }
    }
}
