//! What stands around a place: the call whose arguments it is among, and what may be written there.

use super::{Outline, Sort, Token};

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
pub enum Spot {
    /// Nothing that anybody knows: a comment, a text, a new name.
    Free,
    /// The path of an import.
    Path,
    /// What a module has.
    Module(String),
    /// What a value has; its name, or nothing if it has none.
    Member(Option<String>),
    /// The name of an option of this call.
    Option(Call),
    /// Anything that has a name.
    Any,
}

impl Outline {
    /// Returns the call among whose arguments a place is.
    pub fn call_at(&self, text: &str, offset: usize) -> Option<Call> {
        let before: Vec<_> = self.before(offset).collect();
        let mut open: Vec<(usize, usize)> = Vec::new();
        for (index, token) in before.iter().enumerate().filter(|(_, token)| token.sort == Sort::Sign) {
            match &text[token.at.clone()] {
                "(" | "[" | "{" | "#{" | "${" => open.push((index, 0)),
                ")" | "]" | "}" => drop(open.pop()),
                "," => open.iter_mut().rev().take(1).for_each(|(_, commas)| *commas += 1),
                _ => {}
            }
        }
        let maps = open.iter().rev().take_while(|(index, _)| text[before[*index].at.clone()] == *"#{").count();
        for (index, argument) in open.into_iter().rev() {
            match &text[before[index].at.clone()] {
                "(" => {
                    let Some(name) = index.checked_sub(1).map(|name| before[name]) else { continue };
                    if name.sort == Sort::Word && !super::KEYWORDS.contains(&&text[name.at.clone()]) {
                        let earlier = |back: usize| Some(&text[before[index.checked_sub(back)?].at.clone()]);
                        return Some(Call {
                            name: text[name.at.clone()].to_owned(),
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
    pub fn spot_at(&self, text: &str, offset: usize) -> Spot {
        let here = self.tokens.iter().find(|token| token.at.start < offset && offset <= token.at.end);
        let code: Vec<_> = self.before(offset).collect();
        let word = |back: usize| Some(&text[code.get(code.len().checked_sub(back)?)?.at.clone()]);
        match here.map(|token| (token.sort, token.at.clone())) {
            Some((Sort::Comment, at)) if offset < at.end || !text[at.clone()].ends_with("*/") => return Spot::Free,
            Some((Sort::Text, at)) if is_within(&text[at.clone()], offset - at.start) => {
                let before = code.iter().rfind(|token| token.at.end <= at.start);
                let is_path = before.is_some_and(|token| text[token.at.clone()] == *"import");
                return if is_path { Spot::Path } else { Spot::Free };
            }
            _ => {}
        }
        let begun = here.filter(|token| token.sort == Sort::Word);
        if begun.is_some_and(|token| text[token.at.clone()].starts_with(|c: char| c.is_ascii_digit())) {
            return Spot::Free;
        }
        // What was left unfinished on an earlier line is not gone on with.
        let is_apart = code
            .last()
            .is_some_and(|last| text[last.at.end..begun.map_or(offset, |token| token.at.start)].contains('\n'));
        match word(1) {
            Some("::" | "." | "?.") if is_apart => Spot::Any,
            Some("::") => word(2).map_or(Spot::Free, |module| Spot::Module(module.to_owned())),
            Some("." | "?.") => {
                let before = code.len().checked_sub(2).map(|index| code[index]);
                let is_word = before.is_some_and(|token| token.sort == Sort::Word) && !is_continued(text, &code);
                Spot::Member(word(2).filter(|_| is_word).map(str::to_owned))
            }
            Some("let" | "const" | "fn" | "as" | "for") => Spot::Free,
            Some("#{" | ",") => match self.call_at(text, offset) {
                Some(call) if call.is_in_options => Spot::Option(call),
                _ => Spot::Any,
            },
            _ => Spot::Any,
        }
    }

    /// Returns the tokens before a place without the word that has been begun there, and without comments.
    fn before(&self, offset: usize) -> impl Iterator<Item = &Token> {
        let is_before =
            move |token: &&Token| token.at.end < offset || (token.at.end == offset && token.sort != Sort::Word);
        self.tokens.iter().filter(|token| token.sort != Sort::Comment).take_while(is_before)
    }
}

/// Returns whether the name before the last dot is itself behind a dot; one at the end of an earlier line was left unfinished.
fn is_continued(text: &str, code: &[&Token]) -> bool {
    let [.., dot, name, _] = code else { return false };
    matches!(&text[dot.at.clone()], "." | "?." | "::") && !text[dot.at.end..name.at.start].contains('\n')
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
    fn spot(text: &str) -> Spot {
        let offset = text.find('^').unwrap();
        let text = text.replace('^', "");
        Outline::of(&text).spot_at(&text, offset)
    }

    #[test]
    fn what_may_be_written_depends_on_what_stands_before() {
        assert_eq!(spot("// http^"), Spot::Free);
        assert_eq!(spot("let na^"), Spot::Free);
        assert_eq!(spot("let a = htt^;"), Spot::Any);
        assert_eq!(spot("print(\"htt^\")"), Spot::Free);
        assert_eq!(spot("print(`${htt^}`)"), Spot::Any);
        assert_eq!(spot("import \"_l^"), Spot::Path);
        assert_eq!(spot("import \"_lib/u^\" as u;"), Spot::Path);
        assert_eq!(spot("a + units::fa^"), Spot::Module("units".into()));
        assert_eq!(spot("msg.^\n}"), Spot::Member(Some("msg".into())));
        assert_eq!(spot("f(1).^"), Spot::Member(None));
        let Spot::Option(call) = spot("cron(\"* * * * *\", #{ timezone: \"UTC\", mi^") else { panic!("an option") };
        assert_eq!((call.name.as_str(), call.argument), ("cron", 1));
        assert_eq!(spot("cron(\"* * * * *\", #{ timezone: x^ })"), Spot::Any);
        assert_eq!(spot("http_get(u, #{ json: #{ a^ } })"), Spot::Any, "a map inside is no list of options");
    }

    #[test]
    fn the_call_around_a_place_knows_which_argument_it_is() {
        let text = "if a { units::mix(1, [2, 3], x.add(4), ";
        let call = Outline::of(text).call_at(text, text.len()).unwrap();
        assert_eq!((call.name.as_str(), call.module.as_deref(), call.argument), ("mix", Some("units"), 3));
        assert_eq!(Outline::of("f(|| { ").call_at("f(|| { ", 7), None);
    }
}
