//! `athctl cookie`: the cookies that back ends sign, made and verified as the server does it.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use athena_engine::cookie::{Claims, Key, KeyError, Keys, Refusal, is_handle};

use crate::cli::{Cookie, CookieKey, now};
use crate::error::Error;
use crate::output;

/// Bytes of a new secret: the length of the hash.
const SECRET: usize = 32;

/// Does what the options ask for.
pub fn run(what: &Cookie) -> Result<(), Error> {
    match what {
        Cookie::Sign {
            key,
            expires,
            farms,
            member,
            class,
        } => {
            let filled = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
            let claims = Claims {
                expires: *expires,
                farms: farms.split(',').map(str::to_owned).collect(),
                member: filled(member),
                class: filled(class),
            };
            let cookie = keys(key)?.sign(&claims).ok_or_else(unfit)?;
            output::line(cookie)
        }
        Cookie::Verify {
            key,
            farm,
            cookie,
            at,
        } => {
            let claims = verify(&keys(key)?, farm, cookie, at.unwrap_or_else(now));
            let refused =
                |refusal: Refusal| Error::Wrong(format!("the cookie is {}", refusal.word()));
            output::line(claims.map_err(refused)?)
        }
        Cookie::Keygen { key } => keygen(key),
    }
}

/// Claims as the format has no place for.
fn unfit() -> Error {
    Error::Wrong(
        "these claims do not fit a cookie: 1 to 8 farms, printable ASCII, 2048 bytes in all; \
         docs/cookie.md has the format"
            .to_owned(),
    )
}

fn keys(key: &CookieKey) -> Result<Keys, Error> {
    let mut keys = Keys::default();
    Key::read(&key.id, &key.file)
        .and_then(|key| keys.add(key))
        .map_err(|error| wrong(&key.file, error))?;
    Ok(keys)
}

fn verify(keys: &Keys, farm: &str, cookie: &str, at: u64) -> Result<Claims, Refusal> {
    let bytes = cookie.as_bytes();
    if is_handle(bytes) {
        keys.verify(&keys.open(bytes)?, farm, at)
    } else {
        keys.verify(bytes, farm, at)
    }
}

fn keygen(key: &CookieKey) -> Result<(), Error> {
    let unwritten = |error| Error::File {
        path: key.file.clone(),
        error,
    };
    let mut secret = [0; SECRET];
    getrandom::fill(&mut secret).map_err(|error| unwritten(error.into()))?;
    let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    // A bad name is told before there is a file.
    Key::new(&key.id, digits.as_bytes()).map_err(|error| wrong(&key.file, error))?;
    // Nobody else may have had it open, so never one that is there.
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&key.file);
    file.and_then(|mut file| writeln!(file, "{digits}"))
        .map_err(unwritten)?;
    let path = key.file.canonicalize().unwrap_or_else(|_| key.file.clone());
    output::line(format_args!(
        "AthCookieKey {} file:{}",
        key.id,
        path.display()
    ))
}

fn wrong(path: &Path, error: KeyError) -> Error {
    Error::Key {
        path: path.to_owned(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> Keys {
        let mut keys = Keys::default();
        keys.add(Key::new("k1", &[b'x'; 32]).unwrap()).unwrap();
        keys
    }

    #[test]
    fn a_handle_is_opened_first() {
        let claims = Claims {
            expires: 100,
            farms: vec!["shop".to_owned()],
            ..Claims::default()
        };
        let cookie = one().sign(&claims).unwrap();
        let handle = one().seal(cookie.as_bytes(), [7; 24]).unwrap();
        for value in [&cookie, &handle] {
            assert_eq!(verify(&one(), "shop", value, 99), Ok(claims.clone()));
            assert_eq!(verify(&one(), "shop", value, 131), Err(Refusal::Expired));
            assert_eq!(verify(&one(), "other", value, 99), Err(Refusal::Foreign));
        }
        assert_eq!(
            verify(&one(), "shop", "w1.k1.x", 99),
            Err(Refusal::Malformed)
        );
    }
}
