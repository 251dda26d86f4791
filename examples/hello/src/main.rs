//! Prints a plain value, and signs it with a secret that it does not print.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

fn main() {
    if let Err(error) = hello() {
        eprintln!("hello: {error}");
        std::process::exit(1);
    }
}

fn hello() -> Result<(), Box<dyn std::error::Error>> {
    let value = leyden_guest::env("FOO")?;
    let secret = leyden_guest::secret("MY_APP_SECRET")?;
    let mut signature = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())?;
    signature.update(value.as_bytes());
    println!("FOO={value}");
    println!("MY_APP_SECRET has {} bytes", secret.expose().len());
    println!(
        "HMAC-SHA256 of FOO under it: {}",
        HEXLOWER.encode(&signature.finalize().into_bytes())
    );
    Ok(())
}
