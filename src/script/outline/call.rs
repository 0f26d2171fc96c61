//! The call whose arguments contain an offset.

use super::model::{KEYWORDS, Outline};
use super::tokens::{Token, TokenKind};

/// A call and the position of an offset in its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallContext {
    /// The function's name.
    pub name: String,
    /// The module prefix.
    pub module: Option<String>,
    /// Whether it is a method call.
    pub is_method: bool,
    /// The index of the argument at the offset, from 0.
    pub argument: usize,
    /// Whether the offset is directly inside the map of options of the call.
    pub is_in_options: bool,
}

impl Outline {
    /// Returns the innermost call whose arguments contain an offset.
    pub fn call_at(&self, text: &str, offset: usize) -> Option<CallContext> {
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
                    if name.kind == TokenKind::Word && !KEYWORDS.contains(&&text[name.range.clone()]) {
                        let earlier = |back: usize| Some(&text[before[index.checked_sub(back)?].range.clone()]);
                        return Some(CallContext {
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

    /// Returns the tokens before an offset, without comments and without the word that ends there.
    pub(super) fn before(&self, offset: usize) -> impl Iterator<Item = &Token> {
        let is_before = move |token: &&Token| {
            token.range.end < offset || (token.range.end == offset && token.kind != TokenKind::Word)
        };
        self.tokens.iter().filter(|token| token.kind != TokenKind::Comment).take_while(is_before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_enclosing_call_has_the_index_of_the_argument() {
        let text = "if a { units::mix(1, [2, 3], x.add(4), ";
        let call = Outline::of(text).call_at(text, text.len()).unwrap();
        assert_eq!((call.name.as_str(), call.module.as_deref(), call.argument), ("mix", Some("units"), 3));
        assert_eq!(Outline::of("f(|| { ").call_at("f(|| { ", 7), None);
    }
}
