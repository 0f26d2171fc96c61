//! Character encodings: detection and decoding.

use encoding_rs::{Encoding, UTF_8};

/// Length of the start of a page that is searched for a declaration, in bytes.
const DECLARATION_BYTES: usize = 1_024;

/// Returns the name of the encoding of a body, in lower case: by its byte order mark, else the header, else a
/// declaration in HTML or XML, else UTF-8 if the body is valid UTF-8, else a statistical guess.
pub fn detect(content_type: Option<&str>, body: &[u8]) -> String {
    let encoding = Encoding::for_bom(body).map(|(encoding, _)| encoding);
    let encoding = encoding.or_else(|| content_type.and_then(parameter));
    let encoding = encoding.or_else(|| declared_encoding(body));
    encoding.unwrap_or_else(|| guess(body)).name().to_ascii_lowercase()
}

/// Decodes bytes with a named encoding; invalid sequences become `�`. `None`: unknown encoding.
pub fn decode(body: &[u8], encoding: &str) -> Option<String> {
    let encoding = Encoding::for_label(encoding.as_bytes())?;
    let (text, _, _) = encoding.decode(body);
    Some(text.into_owned())
}

/// Returns the encoding of the `charset` parameter of a `Content-Type`.
fn parameter(content_type: &str) -> Option<&'static Encoding> {
    let at = content_type.to_ascii_lowercase().find("charset=")?;
    let label = content_type[at + "charset=".len()..].split(';').next()?;
    Encoding::for_label(label.trim().trim_matches(['"', '\'']).as_bytes())
}

/// Returns the encoding that the start of an HTML or XML text declares.
///
/// Source: HTML Standard, "prescan a byte stream to determine its encoding", simplified.
fn declared_encoding(body: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&body[..body.len().min(DECLARATION_BYTES)]).to_ascii_lowercase();
    if !head.contains("<meta") && !head.trim_start().starts_with("<?xml") {
        return None;
    }
    let name = ["charset=", "encoding="].iter().find_map(|word| head.split_once(word))?.1;
    let name = name.trim_start_matches(['"', '\'']);
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && !"-_:.".contains(c)).unwrap_or(name.len());
    Encoding::for_label(&name.as_bytes()[..end])
}

fn guess(body: &[u8]) -> &'static Encoding {
    if std::str::from_utf8(body).is_ok() {
        return UTF_8;
    }
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
    detector.feed(&body[..body.len().min(64 << 10)], true);
    detector.guess(None, chardetng::Utf8Detection::Allow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_mark_header_declaration_and_guess_decide_in_this_order() {
        let gbk = encoding_rs::GBK.encode("温度太高了，请检查冰箱的门是否关好").0.into_owned();
        assert_eq!(detect(Some("text/html; charset=\"UTF8\""), b"x"), "utf-8");
        assert_eq!(detect(Some("text/html; charset=latin1"), b"\xef\xbb\xbfx"), "utf-8");
        assert_eq!(detect(None, b"<html><meta charset=shift_jis>"), "shift_jis");
        assert_eq!(detect(None, b"<?xml version='1.0' encoding='iso-8859-15'?>"), "iso-8859-15");
        assert_eq!(detect(Some("text/plain"), "22 °C".as_bytes()), "utf-8");
        assert_eq!(detect(Some("text/plain"), &gbk), "gbk");
        assert_eq!(decode(&gbk, "gbk").unwrap(), "温度太高了，请检查冰箱的门是否关好");
        assert_eq!(decode(b"x", "klingon"), None);
    }
}
