//! Cookies as clients carry them: `v1.ID.CLAIMS.SIGNATURE`.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hmac::Mac;

use super::key::{Key, is_id};
use super::{Claims, Keys, Refusal, SKEW};

/// The longest cookie, in bytes: [`super::FARMS_MAX`] farms and a member fit, and so do two of them
/// with their handles in a header line of httpd's default.
pub const COOKIE_MAX: usize = 2048;
/// The version of the format.
const VERSION: &str = "v1";

impl Keys {
    /// Signs with the first key. `None`: there is none, or the claims cannot stand in a cookie.
    pub fn sign(&self, claims: &Claims) -> Option<String> {
        let key = self.first()?;
        let text = claims.to_string();
        if Claims::parse(text.as_bytes()).as_ref() != Some(claims) {
            return None;
        }
        let signed = format!("{VERSION}.{}.{}", key.id, BASE64.encode(text));
        let signature = BASE64.encode(key.signature(signed.as_bytes()).finalize().into_bytes());
        Some(format!("{signed}.{signature}")).filter(|cookie| cookie.len() <= COOKIE_MAX)
    }

    /// What a cookie says in a request to `farm`, at a time in seconds since 1970. Nothing of it is
    /// read before its signature is found right.
    ///
    /// # Errors
    /// Why it is not used.
    pub fn verify(&self, cookie: &[u8], farm: &str, now: u64) -> Result<Claims, Refusal> {
        let parts = Parts::of(cookie).ok_or(Refusal::Malformed)?;
        let key = self.named(parts.id).ok_or(Refusal::Forged)?;
        key.signature(parts.signed)
            .verify_slice(&parts.signature)
            .map_err(|_| Refusal::Forged)?;
        let claims = Claims::parse(&parts.text).ok_or(Refusal::Malformed)?;
        if now > claims.expires.saturating_add(SKEW) {
            return Err(Refusal::Expired);
        }
        if !claims.is_for(farm) {
            return Err(Refusal::Foreign);
        }
        Ok(claims)
    }
}

impl Key {
    fn signature(&self, signed: &[u8]) -> hmac::Hmac<sha2::Sha256> {
        self.mac.clone().chain_update(signed)
    }
}

/// A cookie taken apart.
struct Parts<'a> {
    /// What the signature is of: all in front of the last dot.
    signed: &'a [u8],
    id: &'a [u8],
    /// The claims' text.
    text: Vec<u8>,
    signature: [u8; 32],
}

impl<'a> Parts<'a> {
    fn of(cookie: &'a [u8]) -> Option<Self> {
        if cookie.len() > COOKIE_MAX {
            return None;
        }
        let last_dot = cookie.iter().rposition(|byte| *byte == b'.')?;
        let (signed, signature) = cookie.split_at_checked(last_dot)?;
        let mut parts = signed.split(|byte| *byte == b'.');
        let (version, id, text) = (parts.next()?, parts.next()?, parts.next()?);
        if version != VERSION.as_bytes() || !is_id(id) || parts.next().is_some() {
            return None;
        }
        Some(Self {
            signed,
            id,
            text: BASE64.decode(text).ok()?,
            // Canonical: unused bits of the last character are 0.
            signature: BASE64
                .decode(signature.strip_prefix(b".")?)
                .ok()?
                .try_into()
                .ok()?,
        })
    }
}
