//! `AthCookieName`, `AthCookieKey`, `AthCookieMode`.

use std::path::Path;

use super::{Key, Keys};
use crate::config::value::is_token;

/// The cookie's name where no other is set.
const NAME: &str = "ATHENA";
/// The longest name, in bytes.
const NAME_MAX: usize = 64;

/// `AthCookieMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Clients see the cookie as the back end made it.
    Pass,
    /// They see a handle in its place.
    Wrap,
}

/// What one server's lines say.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    name: Option<String>,
    mode: Option<Mode>,
    pub(super) keys: Keys,
}

impl Settings {
    /// `AthCookieName NAME`.
    ///
    /// # Errors
    /// What is allowed.
    pub fn set_name(&mut self, name: &str) -> Result<(), String> {
        if !(1..=NAME_MAX).contains(&name.len()) || !name.bytes().all(is_token) {
            return Err(format!(
                "AthCookieName {name}: must be a cookie's name, 1 to {NAME_MAX} letters, digits or \
                 any of !#$%&'*+-.^_`|~"
            ));
        }
        self.name = Some(name.to_owned());
        Ok(())
    }

    /// `AthCookieMode pass|wrap`.
    ///
    /// # Errors
    /// What is allowed.
    pub fn set_mode(&mut self, word: &str) -> Result<(), String> {
        self.mode = Some(match word.to_ascii_lowercase().as_str() {
            "pass" => Mode::Pass,
            "wrap" => Mode::Wrap,
            _ => return Err(format!("AthCookieMode {word}: must be pass or wrap")),
        });
        Ok(())
    }

    /// `AthCookieKey ID file:PATH`, the path made absolute; reads the file.
    ///
    /// # Errors
    /// What is wrong with the name or the file.
    pub fn add_key(&mut self, id: &str, path: &Path) -> Result<(), String> {
        Key::read(id, path)
            .and_then(|key| self.keys.add(key))
            .map_err(|error| format!("AthCookieKey {id} file:{}: {error}", path.display()))
    }

    /// A virtual host's, with the main server's where it says nothing. Keys are not mixed: a
    /// secret of one host is not another's.
    #[must_use]
    pub fn or(self, main: &Self) -> Self {
        Self {
            name: self.name.or_else(|| main.name.clone()),
            mode: self.mode.or(main.mode),
            keys: if self.keys.is_empty() {
                main.keys.clone()
            } else {
                self.keys
            },
        }
    }

    /// The keys; `None` without any: cookies are nobody's business then.
    pub fn keys(&self) -> Option<&Keys> {
        Some(&self.keys).filter(|keys| !keys.is_empty())
    }

    /// The cookie's name.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(NAME)
    }

    /// Whether clients see handles.
    pub fn wraps(&self) -> bool {
        self.mode == Some(Mode::Wrap)
    }
}
