//! Base64, hexadecimal, URL encoding, digests and UUIDs.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rhai::plugin::*;
use sha2::{Digest as _, Sha256};

use crate::functions::arguments::to_bytes;
use crate::functions::data::random;
use crate::functions::thrown::{Thrown, thrown};

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "encode", functions);
    // Rhai's own iterator yields bytes that do not support arithmetic.
    module.set_iter(std::any::TypeId::of::<rhai::Blob>(), |bytes| {
        Box::new(bytes.cast::<rhai::Blob>().into_iter().map(|byte| Dynamic::from_int(byte.into())))
    });
}

/// Characters that are escaped in a URL component.
///
/// Source: RFC 3986, section 2.3, "Unreserved Characters".
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Encodes text or a blob as base64.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(base64_encode("hello"), "aGVsbG8=");
    /// ```
    #[rhai_fn(name = "base64_encode", return_raw)]
    pub fn base64_encode(data: Dynamic) -> Result<String, Thrown> {
        Ok(BASE64_STANDARD.encode(to_bytes(&data)?))
    }

    /// Decodes base64 (standard or URL-safe alphabet, with or without padding) to a blob.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(base64_decode("aGVsbG8=").as_string(), "hello");
    /// ```
    #[rhai_fn(name = "base64_decode", return_raw)]
    pub fn base64_decode(text: &str) -> Result<rhai::Blob, Thrown> {
        let alphabet = if text.contains(['-', '_']) { alphabet::URL_SAFE } else { alphabet::STANDARD };
        let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        GeneralPurpose::new(&alphabet, LENIENT)
            .decode(packed)
            .map_err(|error| thrown("decode", format!("invalid base64: {error}")))
    }

    /// Encodes text or a blob as hexadecimal digits.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(hex_encode("hello"), "68656c6c6f");
    /// ```
    #[rhai_fn(name = "hex_encode", return_raw)]
    pub fn hex_encode(data: Dynamic) -> Result<String, Thrown> {
        Ok(hex::encode(to_bytes(&data)?))
    }

    /// Decodes hexadecimal digits to a blob.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(hex_decode("ff00").len(), 2);
    /// ```
    #[rhai_fn(name = "hex_decode", return_raw)]
    pub fn hex_decode(text: &str) -> Result<rhai::Blob, Thrown> {
        hex::decode(text.trim()).map_err(|error| thrown("decode", format!("invalid hexadecimal: {error}")))
    }

    /// Percent-encodes text for use in a part of a URL.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(url_encode("a b/c"), "a%20b%2Fc");
    /// ```
    #[rhai_fn(name = "url_encode")]
    pub fn url_encode(text: &str) -> String {
        utf8_percent_encode(text, RESERVED).to_string()
    }

    /// Decodes percent-encoded text. A `+` is unchanged.
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(url_decode("a%20b%2Fc"), "a b/c");
    /// ```
    #[rhai_fn(name = "url_decode", return_raw)]
    pub fn url_decode(text: &str) -> Result<String, Thrown> {
        let decoded = percent_decode_str(text).decode_utf8();
        decoded
            .map(Into::into)
            .map_err(|error| thrown("decode", format!("the decoded text is not valid UTF-8: {error}")))
    }

    /// Returns the SHA-256 digest of text or a blob, in hexadecimal digits.
    ///
    /// # Example
    /// ```rhai
    /// assert(sha256("hello").starts_with("2cf24dba5fb0a30e"));
    /// ```
    #[rhai_fn(name = "sha256", return_raw)]
    pub fn sha256(data: Dynamic) -> Result<String, Thrown> {
        Ok(hex::encode(Sha256::digest(to_bytes(&data)?)))
    }

    /// Returns the HMAC-SHA-256 of text or a blob under a key, in hexadecimal digits.
    ///
    /// # Example
    /// ```rhai
    /// assert(hmac_sha256("key", "hello").starts_with("9307b3b915efb517"));
    /// ```
    #[rhai_fn(name = "hmac_sha256", return_raw)]
    pub fn hmac_sha256(key: Dynamic, data: Dynamic) -> Result<String, Thrown> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&to_bytes(&key)?).expect("HMAC takes keys of any length");
        mac.update(&to_bytes(&data)?);
        Ok(hex::encode(mac.finalize().into_bytes()))
    }

    /// Returns a new random UUID (version 4).
    ///
    /// # Example
    /// ```rhai
    /// assert_eq(uuid().len(), 36);
    /// assert_ne(uuid(), uuid());
    /// ```
    #[rhai_fn(name = "uuid", return_raw, volatile)]
    pub fn uuid() -> Result<String, Thrown> {
        let mut bytes: [u8; 16] = random::bytes()?;
        // Source: RFC 9562, section 5.4: the version and variant bits.
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let digits = hex::encode(bytes);
        Ok([&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-"))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn iterating_over_a_blob_yields_integers() {
        let mut engine = rhai::Engine::new();
        engine.register_global_module(crate::functions::module());
        let sum = engine.eval::<i64>("let sum = 0; for byte in blob(3, 200) { sum += byte; } sum");
        assert_eq!(sum.unwrap(), 600);
    }
}
