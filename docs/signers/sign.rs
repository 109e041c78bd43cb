//! Makes a cookie for mod_athena: `sign KEYFILE ID EXPIRES FARMS [MEMBER [CLASS]]`
//!
//! EXPIRES is in seconds since 1970, FARMS a list separated by commas; an empty MEMBER is none.
//! `docs/cookie.md` describes the format. The workspace builds it as
//! `athena-sign`; elsewhere it needs the crates `base64`, `hmac` and `sha2`.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as TEXT;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

fn sign(
    secret: &[u8],
    id: &str,
    expires: &str,
    farms: &str,
    member: &str,
    class: &str,
) -> Result<String, hmac::digest::InvalidLength> {
    let mut claims = format!("expires={expires}\nfarms={farms}");
    if !member.is_empty() {
        claims += &format!("\nmember={member}");
    }
    if !class.is_empty() {
        claims += &format!("\nclass={class}");
    }
    let signed = format!("v1.{id}.{}", TEXT.encode(claims));
    let mac = Hmac::<Sha256>::new_from_slice(secret)?.chain_update(&signed);
    let signature = TEXT.encode(mac.finalize().into_bytes());
    Ok(format!("{signed}.{signature}"))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, id, expires, farms, optional @ ..] = arguments.as_slice() else {
        return Err("usage: sign KEYFILE ID EXPIRES FARMS [MEMBER [CLASS]]".into());
    };
    let optional = |at: usize| optional.get(at).map_or("", String::as_str);
    let file = std::fs::read(file)?;
    let end = file.iter().rposition(|byte| !b"\r\n".contains(byte));
    let secret = end.and_then(|end| file.get(..=end)).unwrap_or_default();
    println!(
        "{}",
        sign(secret, id, expires, farms, optional(0), optional(1))?
    );
    Ok(())
}
