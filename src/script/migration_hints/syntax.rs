//! Hints for syntax errors.

use super::scan::{first_word, last_word, open_bracket};
use super::tables::{CLOSURE, IMPORT, KEYWORDS, NAMES, SLICE, TYPES, find};

/// Returns the hint for a syntax error, from the message of the compiler and the text before and after its position.
pub(in crate::script) fn for_syntax(message: &str, before: &str, after: &str) -> Option<String> {
    let line = before.rsplit('\n').next()?;
    let starts_a_line = line.len() < before.len() && line.trim().is_empty();
    let previous = before.trim_end().rsplit('\n').next()?.trim();
    if starts_a_line && previous.starts_with("import ") && !previous.contains('"') {
        return Some(IMPORT.into());
    }
    for_foreign_syntax(before, line, after).or_else(|| {
        let lacks = |expected| starts_a_line && message.starts_with(expected);
        if lacks("expecting ';'") {
            return Some("is `;` missing before it?".into());
        }
        lacks("expecting ',' to separate the arguments").then(|| "is `)` or `,` missing before it?".into())
    })
}

fn for_foreign_syntax(before: &str, line: &str, after: &str) -> Option<String> {
    let (front, last) = last_word(line.trim_end());
    let here = first_word(after);
    if last == "from" {
        return Some(IMPORT.into());
    }
    let keyword = |word| find(KEYWORDS, word).or_else(|| find(NAMES, word));
    if let Some(hint) = keyword(last).or_else(|| keyword(here)).or_else(|| for_word(before, line, here, after)) {
        return Some(hint.into());
    }
    if here.starts_with(['s', 'm', 'h', 'd']) && line.ends_with(|c: char| c.is_ascii_digit()) {
        let number = line.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        return Some(format!("write `\"{}{here}\"`: a duration is text", &line[number..]));
    }
    let names_an_argument = !last.is_empty() && front.trim_end().ends_with(['(', ',']);
    match after.chars().next()? {
        '=' if names_an_argument && after.starts_with("=>") => Some(CLOSURE.into()),
        '=' | ':'
            if names_an_argument
                && !after.starts_with("==")
                && !line.contains("fn ")
                && open_bracket(before).1 == '(' =>
        {
            Some(format!("write options as a map, such as `#{{ {last}: 1 }}`"))
        }
        _ => for_symbol(before, line, last, after).map(str::to_owned),
    }
}

fn for_word(before: &str, line: &str, here: &str, after: &str) -> Option<&'static str> {
    let rest = after.lines().next()?;
    match here {
        "if" if rest.contains(" else ") && !rest.contains('{') => Some("write `if a { b } else { c }`"),
        "for" if open_bracket(before).1 == '[' => {
            Some("write `list.map(|x| …)`, or `list.filter(|x| …)` to select items")
        }
        "in" | "let" if line.trim_start().starts_with("for") && open_bracket(before).1 == '(' => {
            Some("write `for x in list { … }` or `for n in 0..10 { … }`, without brackets")
        }
        _ => None,
    }
}

fn for_symbol(before: &str, line: &str, last: &str, after: &str) -> Option<&'static str> {
    match after.chars().next()? {
        '#' if !after.starts_with("#{") => Some("write `// …` for a comment"),
        '"' | '\'' if last == "f" => Some("write back-ticks, with `${x}` for a value: `` `… ${x}` ``"),
        '\'' => Some("write text in double quotes: `\"…\"`"),
        '=' if after.starts_with("=>") => Some(CLOSURE),
        '=' if after.starts_with("===") => Some("write `==`"),
        '!' if after.starts_with("!==") => Some("write `!=`"),
        '+' if after.starts_with("++") => Some("write `x += 1`"),
        '-' if after.starts_with("--") => Some("write `x -= 1`"),
        '?' => Some("write `if a { b } else { c }`"),
        '{' if line.contains("function") => find(KEYWORDS, "function"),
        ':' => for_colon(before, line),
        _ => None,
    }
}

fn for_colon(before: &str, line: &str) -> Option<&'static str> {
    match first_word(line.trim_start()) {
        "if" | "for" | "while" | "else" | "try" => return Some("write a block in braces: `{ … }`"),
        "let" | "const" if open_bracket(before).1 != '[' && !line.contains('{') => return Some(TYPES),
        _ => {}
    }
    let (at, bracket) = open_bracket(before);
    let key = before[at..].trim_start_matches('{').trim();
    match bracket {
        '[' => Some(SLICE),
        '(' if line.contains("fn ") => Some(TYPES),
        '{' if !before[..at].ends_with('#') && !key.contains(char::is_whitespace) => {
            Some("write a map with `#` before it: `#{ a: 1 }`")
        }
        _ => None,
    }
}
