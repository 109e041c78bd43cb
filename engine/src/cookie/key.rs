//! Secret keys: their names, their files, and what is derived from them.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use chacha20poly1305::XChaCha20Poly1305;
use hmac::{Hmac, KeyInit, Mac};
use nix::fcntl::OFlag;
use sha2::Sha256;
use thiserror::Error;

/// The shortest secret, in bytes: RFC 2104 recommends the length of the hash.
const SECRET_MIN: usize = 32;
/// The longest one: more is a wrong file.
const SECRET_MAX: usize = 1024;
/// The longest name of a key, in bytes.
const ID_MAX: usize = 32;
/// Others than the owner and its group.
const WORLD: u32 = 0o007;
/// What the key of the handles is derived from, by HMAC. No cookie's signed text begins like this.
const HANDLE_KEY: &[u8] = b"mod_athena cookie handle 1";

/// Why a key is refused.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Its name.
    #[error("the key's ID must be 1 to {ID_MAX} letters, digits, '-' or '_'")]
    Id,
    /// Two of them.
    #[error("this ID is taken: each key needs its own")]
    Taken,
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// A directory, a device, a pipe.
    #[error("must be a regular file")]
    NotRegular,
    /// Everybody may read or write it.
    #[error("has mode {0:04o}: nobody but its owner and group may have access (chmod o-rwx)")]
    Open(u32),
    /// Too little or too much in it.
    #[error(
        "must hold {SECRET_MIN} to {SECRET_MAX} bytes without the line's end, not {0} \
         (openssl rand -hex 32 makes a good key)"
    )]
    Length(usize),
}

/// One secret key.
#[derive(Clone)]
pub struct Key {
    pub(super) id: String,
    /// HMAC-SHA-256 with the key worked in, to begin each signature with.
    pub(super) mac: Hmac<Sha256>,
    /// The cipher of the handles.
    pub(super) cipher: XChaCha20Poly1305,
}

impl Key {
    /// A key by its secret, of which ends of line at its end are no part.
    ///
    /// # Errors
    /// A bad name, or a secret that is too short or too long.
    pub fn new(id: &str, secret: &[u8]) -> Result<Self, KeyError> {
        if !is_id(id.as_bytes()) {
            return Err(KeyError::Id);
        }
        let mut secret = secret;
        while let [rest @ .., b'\n' | b'\r'] = secret {
            secret = rest;
        }
        let length = Err(KeyError::Length(secret.len()));
        if !(SECRET_MIN..=SECRET_MAX).contains(&secret.len()) {
            return length;
        }
        // HMAC takes keys of any length.
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret) else {
            return length;
        };
        let derived = mac.clone().chain_update(HANDLE_KEY).finalize().into_bytes();
        Ok(Self {
            id: id.to_owned(),
            mac,
            cipher: XChaCha20Poly1305::new(&derived),
        })
    }

    /// A key by its file.
    ///
    /// # Errors
    /// As [`Key::new`] and [`secret`].
    pub fn read(id: &str, path: &Path) -> Result<Self, KeyError> {
        Self::new(id, &secret(path)?)
    }
}

/// What stands in a file that is to be secret, as far as a key may be long.
///
/// # Errors
/// The file cannot be read, is not a regular one, or is everybody's.
pub fn secret(path: &Path) -> Result<Vec<u8>, KeyError> {
    // A pipe without a writer would keep the server from starting.
    let mut options = File::options();
    options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = options.open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(KeyError::NotRegular);
    }
    if about.mode() & WORLD != 0 {
        return Err(KeyError::Open(about.mode() & 0o7777));
    }
    let mut secret = Vec::new();
    // One more than allowed, and what ends a line, tell a longer file from one that fits.
    file.take(SECRET_MAX as u64 + 3).read_to_end(&mut secret)?;
    Ok(secret)
}

/// Secrets are nobody's to print.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// The keys in force: any of them verifies, the first one signs.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// Adds a key behind the others.
    ///
    /// # Errors
    /// Its name is taken.
    pub fn add(&mut self, key: Key) -> Result<(), KeyError> {
        if self.named(key.id.as_bytes()).is_some() {
            return Err(KeyError::Taken);
        }
        self.0.push(key);
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn first(&self) -> Option<&Key> {
        self.0.first()
    }

    pub(super) fn named(&self, id: &[u8]) -> Option<&Key> {
        self.0.iter().find(|key| key.id.as_bytes() == id)
    }
}

/// Whether a key may have this name.
pub(super) fn is_id(id: &[u8]) -> bool {
    (1..=ID_MAX).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
}
