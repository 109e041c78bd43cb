//! What a cookie says, as lines of text: `name=value`, each ended by the next or by the text's end.

use std::fmt;

/// Farms that one cookie may name.
pub const FARMS_MAX: usize = 8;
/// Digits of an expiry: seconds until long after anybody's key is kept.
const EXPIRES_DIGITS: usize = 12;

/// What a cookie says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// When it expires, in seconds since 1970.
    pub expires: u64,
    /// The farms it is for, the preferred one first. In requests to any other it has no say.
    pub farms: Vec<String>,
    /// The member to stick to, by its name.
    pub member: Option<String>,
    /// The class of the client.
    pub class: Option<String>,
}

impl Claims {
    /// Reads the text; `None` for anything that a signer would not have written.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if !text
            .iter()
            .all(|byte| *byte == b'\n' || is_printable(*byte))
        {
            return None;
        }
        let mut claims = Self::default();
        let mut expires = None;
        for line in std::str::from_utf8(text).ok()?.split('\n') {
            let (name, value) = line
                .split_once('=')
                .filter(|(_, value)| !value.is_empty())?;
            match name {
                "expires" if expires.is_none() => expires = Some(seconds(value)?),
                "farms" if claims.farms.is_empty() => claims.farms = farms(value)?,
                "member" if claims.member.is_none() => claims.member = Some(value.to_owned()),
                "class" if claims.class.is_none() => claims.class = Some(value.to_owned()),
                _ => return None,
            }
        }
        claims.expires = expires?;
        (!claims.farms.is_empty()).then_some(claims)
    }

    /// Whether the cookie has a say in requests to a farm.
    pub fn is_for(&self, farm: &str) -> bool {
        self.farms
            .iter()
            .any(|name| name.eq_ignore_ascii_case(farm))
    }
}

impl fmt::Display for Claims {
    /// The text that [`Claims::parse`] reads, unless a value cannot stand in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expires={}\nfarms={}",
            self.expires,
            self.farms.join(",")
        )?;
        for (name, value) in [("member", &self.member), ("class", &self.class)] {
            if let Some(value) = value {
                write!(f, "\n{name}={value}")?;
            }
        }
        Ok(())
    }
}

fn is_printable(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte)
}

/// Digits alone: `parse` would take a sign as well.
fn seconds(text: &str) -> Option<u64> {
    let digits = text.len() <= EXPIRES_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn farms(text: &str) -> Option<Vec<String>> {
    let names: Vec<_> = text.split(',').map(str::to_owned).collect();
    let fits = names.len() <= FARMS_MAX && names.iter().all(|name| !name.is_empty());
    fits.then_some(names)
}
