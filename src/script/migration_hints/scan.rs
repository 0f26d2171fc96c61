//! Words and brackets around a position in a text.

/// Returns whether a text begins with an assignment to a variable.
pub(in crate::script) fn is_assignment(text: &str) -> bool {
    let rest = text.trim_start_matches(is_word_char).trim_start();
    rest.starts_with('=') && !rest.starts_with("==")
}

/// Returns the offset and character of the innermost open bracket at the end of a text, or a space if no bracket is open.
pub(super) fn open_bracket(text: &str) -> (usize, char) {
    let (mut closed, mut in_text) = (0, false);
    for (at, letter) in text.char_indices().rev() {
        match letter {
            '"' => in_text = !in_text,
            _ if in_text => {}
            ')' | ']' | '}' => closed += 1,
            '(' | '[' | '{' if closed == 0 => return (at, letter),
            '(' | '[' | '{' => closed -= 1,
            _ => {}
        }
    }
    (text.len(), ' ')
}

/// Returns whether a character can be part of a name.
pub(super) fn is_word_char(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Returns the word at the start of a text.
pub(super) fn first_word(text: &str) -> &str {
    text.split(|letter| !is_word_char(letter)).next().unwrap_or_default()
}

/// Splits a text before its last word.
pub(super) fn last_word(text: &str) -> (&str, &str) {
    text.split_at(text.trim_end_matches(is_word_char).len())
}
