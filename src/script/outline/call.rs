//! What stands around a place: the call whose arguments it is among, and what may be written there.

use super::{Outline, Token, TokenKind};

/// A call that is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The function's name.
    pub name: String,
    /// The module before it.
    pub module: Option<String>,
    /// Whether it is called on a value.
    pub is_method: bool,
    /// Which of the arguments it is, from 0.
    pub argument: usize,
    /// Whether the place is directly inside the map of options of this call.
    pub is_in_options: bool,
}

/// What may be written at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompletionTarget {
    /// Nothing that anybody knows: a comment, a text, a new name.
    Nothing,
    /// The path of an import.
    ImportPath,
    /// What a module has.
    ModuleItem(String),
    /// What a value has; its name, or nothing if it has none.
    Member(Option<String>),
    /// The name of an option of this call.
    Option(Call),
    /// Anything that has a name.
    AnyName,
}

impl Outline {
    /// Returns the call among whose arguments a place is.
    pub fn call_at(&self, text: &str, offset: usize) -> Option<Call> {
        let before: Vec<_> = self.before(offset).collect();
        let mut open: Vec<(usize, usize)> = Vec::new();
        for (index, token) in before.iter().enumerate().filter(|(_, token)| token.kind == TokenKind::Sign) {
            match &text[token.range.clone()] {
                "(" | "[" | "{" | "#{" | "${" => open.push((index, 0)),
                ")" | "]" | "}" => drop(open.pop()),
                "," => open.iter_mut().rev().take(1).for_each(|(_, commas)| *commas += 1),
                _ => {}
            }
        }
        let maps = open.iter().rev().take_while(|(index, _)| text[before[*index].range.clone()] == *"#{").count();
        for (index, argument) in open.into_iter().rev() {
            match &text[before[index].range.clone()] {
                "(" => {
                    let Some(name) = index.checked_sub(1).map(|name| before[name]) else { continue };
                    if name.kind == TokenKind::Word && !super::KEYWORDS.contains(&&text[name.range.clone()]) {
                        let earlier = |back: usize| Some(&text[before[index.checked_sub(back)?].range.clone()]);
                        return Some(Call {
                            name: text[name.range.clone()].to_owned(),
                            module: earlier(3).filter(|_| earlier(2) == Some("::")).map(str::to_owned),
                            is_method: matches!(earlier(2), Some("." | "?.")),
                            argument,
                            is_in_options: maps == 1,
                        });
                    }
                }
                "[" | "#{" => {}
                _ => return None,
            }
        }
        None
    }

    /// Returns what may be written at a place, where a word may have been begun.
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
        // What was left unfinished on an earlier line is not gone on with.
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

    /// Returns the tokens before a place without the word that has been begun there, and without comments.
    fn before(&self, offset: usize) -> impl Iterator<Item = &Token> {
        let is_before = move |token: &&Token| {
            token.range.end < offset || (token.range.end == offset && token.kind != TokenKind::Word)
        };
        self.tokens.iter().filter(|token| token.kind != TokenKind::Comment).take_while(is_before)
    }
}

/// Returns whether the name before the last dot is itself behind a dot; one at the end of an earlier line was left unfinished.
fn is_continued(text: &str, code: &[&Token]) -> bool {
    let [.., dot, name, _] = code else { return false };
    matches!(&text[dot.range.clone()], "." | "?." | "::") && !text[dot.range.end..name.range.start].contains('\n')
}

/// Returns whether a place in a text is before the mark that closes it.
fn is_within(piece: &str, at: usize) -> bool {
    let is_closed = piece.len() > 1 && piece.starts_with(['"', '`', '\'']) && piece.ends_with(&piece[..1]);
    at < piece.len() || !(is_closed || piece.ends_with(['"', '`']) && !piece.starts_with(['"', '`']))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is at the `^` of a text.
    fn spot(text: &str) -> CompletionTarget {
        let offset = text.find('^').unwrap();
        let text = text.replace('^', "");
        Outline::of(&text).completion_target_at(&text, offset)
    }

    #[test]
    fn what_may_be_written_depends_on_what_stands_before() {
        assert_eq!(spot("// http^"), CompletionTarget::Nothing);
        assert_eq!(spot("let na^"), CompletionTarget::Nothing);
        assert_eq!(spot("let a = htt^;"), CompletionTarget::AnyName);
        assert_eq!(spot("print(\"htt^\")"), CompletionTarget::Nothing);
        assert_eq!(spot("print(`${htt^}`)"), CompletionTarget::AnyName);
        assert_eq!(spot("import \"_l^"), CompletionTarget::ImportPath);
        assert_eq!(spot("import \"_lib/u^\" as u;"), CompletionTarget::ImportPath);
        assert_eq!(spot("a + units::fa^"), CompletionTarget::ModuleItem("units".into()));
        assert_eq!(spot("msg.^\n}"), CompletionTarget::Member(Some("msg".into())));
        assert_eq!(spot("f(1).^"), CompletionTarget::Member(None));
        let CompletionTarget::Option(call) = spot("cron(\"* * * * *\", #{ timezone: \"UTC\", mi^") else {
            panic!("an option")
        };
        assert_eq!((call.name.as_str(), call.argument), ("cron", 1));
        assert_eq!(spot("cron(\"* * * * *\", #{ timezone: x^ })"), CompletionTarget::AnyName);
        assert_eq!(
            spot("http_get(u, #{ json: #{ a^ } })"),
            CompletionTarget::AnyName,
            "a map inside is no list of options"
        );
    }

    #[test]
    fn the_call_around_a_place_knows_which_argument_it_is() {
        let text = "if a { units::mix(1, [2, 3], x.add(4), ";
        let call = Outline::of(text).call_at(text, text.len()).unwrap();
        assert_eq!((call.name.as_str(), call.module.as_deref(), call.argument), ("mix", Some("units"), 3));
        assert_eq!(Outline::of("f(|| { ").call_at("f(|| { ", 7), None);
    }
}
