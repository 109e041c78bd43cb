//! Formats: `f="%h,%c"`. `%` and a letter of the table, `%{NAME}s` for a statistic, `%%` for the
//! sign itself; all else stands for itself.

use super::error::{QueryError, Reason};
use super::kind::Of;
use super::letters::{self, Field};
use super::split::Value;
use crate::stats::Name;

/// What a line tells of.
pub trait Subject {
    /// Appends what the field says of it.
    fn field(&self, field: Field, to: &mut String);
    /// Its statistic of that name.
    fn statistic(&self, name: &str) -> Option<f64>;
}

/// A line's pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Format(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
    Statistic(String),
}

impl Format {
    /// What a line says that was not asked for anything special.
    pub fn default_of(of: Of) -> Self {
        let letters = match of {
            Of::Phys => "qsuiwce",
            Of::Farm => "nSsmUMce",
            Of::Engine => "VNMUce",
        };
        let fields = letters
            .chars()
            .filter_map(|letter| letters::find(letter, of));
        let mut pieces: Vec<_> = fields
            .flat_map(|field| [Piece::Field(field), Piece::Text(" ".to_owned())])
            .collect();
        pieces.pop();
        Self(pieces)
    }

    /// Reads a format of lines about `of`.
    ///
    /// # Errors
    /// A letter that is not one of theirs, or a `%` without one.
    pub(super) fn read(value: Value<'_>, of: Of) -> Result<Self, QueryError> {
        let mut format = Self::default();
        let mut chars = value.chars();
        while let Some((at, c)) = chars.next() {
            if c != '%' {
                format.push(c);
                continue;
            }
            let wrong = |reason| QueryError::new(at, reason);
            match chars.next() {
                Some((_, '%')) => format.push('%'),
                Some((_, '{')) => {
                    let name: String = chars
                        .by_ref()
                        .map(|(_, c)| c)
                        .take_while(|c| *c != '}')
                        .collect();
                    if !matches!(chars.next(), Some((_, 's'))) || of != Of::Phys {
                        return Err(wrong(Reason::Percent));
                    }
                    Name::new(&name).map_err(|refused| wrong(Reason::Statistic(refused)))?;
                    format.0.push(Piece::Statistic(name));
                }
                Some((_, letter)) => {
                    let field = letters::find(letter, of);
                    let field = field.ok_or_else(|| wrong(Reason::Letter(letter, of)))?;
                    format.0.push(Piece::Field(field));
                }
                None => return Err(wrong(Reason::Percent)),
            }
        }
        Ok(format)
    }

    fn push(&mut self, c: char) {
        if let Some(Piece::Text(text)) = self.0.last_mut() {
            text.push(c);
        } else {
            self.0.push(Piece::Text(c.to_string()));
        }
    }

    /// Appends a line about `subject`, without an end. What there is nothing to say of is `-`.
    pub fn write(&self, subject: &impl Subject, to: &mut String) {
        for piece in &self.0 {
            let before = to.len();
            match piece {
                Piece::Text(text) => to.push_str(text),
                Piece::Field(field) => subject.field(*field, to),
                Piece::Statistic(name) => {
                    if let Some(value) = subject.statistic(name) {
                        to.push_str(&number(value));
                    }
                }
            }
            if to.len() == before {
                to.push('-');
            }
        }
    }
}

/// A number that reads back as the same one, not longer than it need be.
pub(super) fn number(value: f64) -> String {
    const LONG: usize = 20;
    let plain = value.to_string();
    if plain.len() > LONG {
        format!("{value:e}")
    } else {
        plain
    }
}
