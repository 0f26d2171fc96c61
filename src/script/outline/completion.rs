//! The kind of name that completes a word at an offset.

use super::call::CallContext;
use super::model::Outline;
use super::tokens::{Token, TokenKind};

/// The names that can be written at an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompletionTarget {
    /// No known names: a comment, a text or a new name.
    Nothing,
    /// The path of an import.
    ImportPath,
    /// A function or constant of this module.
    ModuleItem(String),
    /// A member of a value, with the name of the variable, if there is one.
    Member(Option<String>),
    /// An option of this call.
    Option(CallContext),
    /// Any visible name.
    AnyName,
}

impl Outline {
    /// Returns the names that can be written at an offset, where a word may have begun.
    pub fn completion_target_at(&self, text: &str, offset: usize) -> CompletionTarget {
        let here = self.tokens.iter().find(|token| token.range.start < offset && offset <= token.range.end);
        let code: Vec<_> = self.before(offset).collect();
        let word = |back: usize| Some(&text[code.get(code.len().checked_sub(back)?)?.range.clone()]);
        match here.map(|token| (token.kind, token.range.clone())) {
            Some((TokenKind::Comment, at)) if offset < at.end || !text[at.clone()].ends_with("*/") => {
                return CompletionTarget::Nothing;
            }
            Some((TokenKind::Text, at)) if is_within(&text[at.clone()], offset - at.start) => {
                let before = code.iter().rfind(|token| token.range.end <= at.start);
                let is_path = before.is_some_and(|token| text[token.range.clone()] == *"import");
                return if is_path { CompletionTarget::ImportPath } else { CompletionTarget::Nothing };
            }
            _ => {}
        }
        let begun = here.filter(|token| token.kind == TokenKind::Word);
        if begun.is_some_and(|token| text[token.range.clone()].starts_with(|c: char| c.is_ascii_digit())) {
            return CompletionTarget::Nothing;
        }
        // An incomplete expression on an earlier line does not continue here.
        let is_apart = code
            .last()
            .is_some_and(|last| text[last.range.end..begun.map_or(offset, |token| token.range.start)].contains('\n'));
        match word(1) {
            Some("::" | "." | "?.") if is_apart => CompletionTarget::AnyName,
            Some("::") => {
                word(2).map_or(CompletionTarget::Nothing, |module| CompletionTarget::ModuleItem(module.to_owned()))
            }
            Some("." | "?.") => {
                let before = code.len().checked_sub(2).map(|index| code[index]);
                let is_word = before.is_some_and(|token| token.kind == TokenKind::Word) && !is_continued(text, &code);
                CompletionTarget::Member(word(2).filter(|_| is_word).map(str::to_owned))
            }
            Some("let" | "const" | "fn" | "as" | "for") => CompletionTarget::Nothing,
            Some("#{" | ",") => match self.call_at(text, offset) {
                Some(call) if call.is_in_options => CompletionTarget::Option(call),
                _ => CompletionTarget::AnyName,
            },
            _ => CompletionTarget::AnyName,
        }
    }
}

/// Returns whether the name before the last dot follows another dot on the same line.
fn is_continued(text: &str, code: &[&Token]) -> bool {
    let [.., dot, name, _] = code else { return false };
    matches!(&text[dot.range.clone()], "." | "?." | "::") && !text[dot.range.end..name.range.start].contains('\n')
}

/// Returns whether an offset in a text literal is before its closing mark.
fn is_within(piece: &str, at: usize) -> bool {
    let is_closed = piece.len() > 1 && piece.starts_with(['"', '`', '\'']) && piece.ends_with(&piece[..1]);
    at < piece.len() || !(is_closed || piece.ends_with(['"', '`']) && !piece.starts_with(['"', '`']))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the target at the `^` of a text.
    fn target(text: &str) -> CompletionTarget {
        let offset = text.find('^').unwrap();
        let text = text.replace('^', "");
        Outline::of(&text).completion_target_at(&text, offset)
    }

    #[test]
    fn the_completion_target_depends_on_the_text_before_it() {
        assert_eq!(target("// http^"), CompletionTarget::Nothing);
        assert_eq!(target("let na^"), CompletionTarget::Nothing);
        assert_eq!(target("let a = htt^;"), CompletionTarget::AnyName);
        assert_eq!(target("print(\"htt^\")"), CompletionTarget::Nothing);
        assert_eq!(target("print(`${htt^}`)"), CompletionTarget::AnyName);
        assert_eq!(target("import \"_l^"), CompletionTarget::ImportPath);
        assert_eq!(target("import \"_lib/u^\" as u;"), CompletionTarget::ImportPath);
        assert_eq!(target("a + units::fa^"), CompletionTarget::ModuleItem("units".into()));
        assert_eq!(target("msg.^\n}"), CompletionTarget::Member(Some("msg".into())));
        assert_eq!(target("f(1).^"), CompletionTarget::Member(None));
        let CompletionTarget::Option(call) = target("cron(\"* * * * *\", #{ timezone: \"UTC\", mi^") else {
            panic!("an option")
        };
        assert_eq!((call.name.as_str(), call.argument), ("cron", 1));
        assert_eq!(target("cron(\"* * * * *\", #{ timezone: x^ })"), CompletionTarget::AnyName);
        assert_eq!(
            target("http_get(u, #{ json: #{ a^ } })"),
            CompletionTarget::AnyName,
            "a nested map is not the map of options"
        );
    }
}
