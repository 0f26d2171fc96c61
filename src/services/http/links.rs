//! The `Link` header, as used for pagination.

/// A link of a `Link` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkValue {
    /// The target, as written.
    pub url: String,
    /// Parameters in order, such as `rel`, with names in lower case.
    pub parameters: Vec<(String, String)>,
}

/// Parses the links of one header; invalid parts are ignored.
///
/// Source: RFC 8288, section 3.
pub fn parse(header: &str) -> Vec<LinkValue> {
    let mut links = Vec::new();
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((url, after)) = after.split_once('>') else { break };
        let (parameters, after) = parameters(after);
        links.push(LinkValue { url: url.trim().to_owned(), parameters });
        rest = after;
    }
    links
}

/// Parses `; name=value; name="value"` up to the comma that ends a link.
fn parameters(mut rest: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start();
        let Some(after) = rest.strip_prefix(';') else { return (found, rest.strip_prefix(',').unwrap_or(rest)) };
        let name_end = after.find(['=', ';', ',']).unwrap_or(after.len());
        let name = after[..name_end].trim().to_ascii_lowercase();
        rest = &after[name_end..];
        let mut value = String::new();
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            if let Some(quoted) = after.strip_prefix('"') {
                let end = quoted.find('"').unwrap_or(quoted.len());
                value = quoted[..end].to_owned();
                rest = quoted.get(end + 1..).unwrap_or_default();
            } else {
                let end = after.find([';', ',']).unwrap_or(after.len());
                value = after[..end].trim().to_owned();
                rest = &after[end..];
            }
        }
        if !name.is_empty() {
            found.push((name, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_parsed_also_with_commas_in_urls() {
        let links = parse(r#"<https://a.example/?p=2,3>; rel="next"; title="a, b", </last>; rel=last"#);
        assert_eq!(links.len(), 2);
        assert_eq!(links[0].url, "https://a.example/?p=2,3");
        assert_eq!(links[0].parameters[0], ("rel".into(), "next".into()));
        assert_eq!(links[1], LinkValue { url: "/last".into(), parameters: vec![("rel".into(), "last".into())] });
        assert_eq!(parse("<<<;;;,,,>"), [LinkValue { url: "<<;;;,,,".into(), parameters: Vec::new() }]);
    }
}
