//! Hints for operators on missing values.

use super::scan::is_word_char;

/// Returns the hint for an operator with an operand `()`, from the signature of the call, such as `+ ((), i64)`, and the text
/// before and after its position.
pub(in crate::script) fn for_operator(signature: &str, before: &str, after: &str) -> Option<String> {
    let (operator, types) = signature.strip_suffix(')')?.split_once(" (")?;
    if operator.starts_with(is_word_char) || !types.split(", ").any(|of| of == "()") {
        return None;
    }
    let assigned = after.strip_prefix(operator).filter(|_| types.starts_with("(), "));
    let amount = assigned.and_then(|rest| rest.strip_prefix('=')?.split([';', '}', '\n']).next()).map(str::trim);
    let target = before.trim_end().rsplit(|letter: char| letter.is_whitespace() || "{(;".contains(letter)).next()?;
    let Some(amount) = amount.filter(|_| target.contains('[') == target.contains(']')) else {
        return Some("a value is missing: write `(… ?? 0)` for a value that can be missing".into());
    };
    let empty = if amount.starts_with('[') { "[]" } else { "0" };
    let sum = match target.strip_prefix("state.") {
        Some(key) if operator == "+" && empty == "0" && key.chars().all(is_word_char) => {
            format!("`state.add(\"{key}\", {amount})`, or ")
        }
        _ => String::new(),
    };
    Some(format!("`{target}` has no value yet: write {sum}`{target} = ({target} ?? {empty}) {operator} {amount}`"))
}
