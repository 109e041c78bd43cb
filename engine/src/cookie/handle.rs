//! Handles: what clients carry in a cookie's place with `AthCookieMode wrap`, `w1.ID.SEALED`. They
//! say nothing to anybody without the key, and nobody without it can make one.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use chacha20poly1305::aead::{Aead, Payload};

use super::{COOKIE_MAX, Keys, Refusal};
use crate::config::value::is_cookie_octet;

/// Bytes of a nonce: long enough to be drawn at random for each handle (XChaCha20-Poly1305,
/// draft-irtf-cfrg-xchacha).
pub const NONCE: usize = 24;
const VERSION: &[u8] = b"w1.";
/// The longest handle: a cookie with nonce and tag, in base64, behind the longest name.
const HANDLE_MAX: usize = (COOKIE_MAX + NONCE + 16).div_ceil(3) * 4 + 36;

/// Whether a value calls itself a handle.
pub fn is_handle(value: &[u8]) -> bool {
    value.starts_with(VERSION)
}

impl Keys {
    /// Seals the value of a back end's cookie, whatever it is, with the first key and a nonce that
    /// has not been used before. `None`: there is no key, or no request could bring the value back.
    pub fn seal(&self, value: &[u8], nonce: [u8; NONCE]) -> Option<String> {
        let key = self.first()?;
        if value.len() > COOKIE_MAX || !is_cookie_value(value) {
            return None;
        }
        let head = head(&key.id);
        let payload = Payload {
            msg: value,
            aad: head.as_bytes(),
        };
        let sealed = key.cipher.encrypt(&nonce.into(), payload).ok()?;
        Some(head + &BASE64.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// The value that a handle was made of.
    ///
    /// # Errors
    /// Malformed or forged.
    pub fn open(&self, handle: &[u8]) -> Result<Vec<u8>, Refusal> {
        let (id, bytes) = parts(handle).ok_or(Refusal::Malformed)?;
        let key = self.named(id).ok_or(Refusal::Forged)?;
        let (nonce, sealed) = bytes
            .split_first_chunk::<NONCE>()
            .ok_or(Refusal::Malformed)?;
        let head = head(&key.id);
        let payload = Payload {
            msg: sealed,
            aad: head.as_bytes(),
        };
        let opened = key.cipher.decrypt(nonce.into(), payload);
        // Who has the key may still seal what would end a header.
        let opened = opened.ok().filter(|value| is_cookie_value(value));
        opened.ok_or(Refusal::Forged)
    }
}

fn head(id: &str) -> String {
    format!("w1.{id}.")
}

fn parts(handle: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let rest = handle.strip_prefix(VERSION)?;
    let dot = rest.iter().position(|byte| *byte == b'.')?;
    let (id, text) = rest.split_at_checked(dot)?;
    if handle.len() > HANDLE_MAX {
        return None;
    }
    Some((id, BASE64.decode(text.strip_prefix(b".")?).ok()?))
}

/// Whether a cookie can have this value: cookie-octets alone, at least one.
fn is_cookie_value(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|byte| is_cookie_octet(*byte))
}
