//! Finds the declarations of a script in its tokens.

use std::ops::Range;

use super::model::{Function, Import, Name, Outline, Trigger};
use super::tokens::{Token, TokenKind, tokens};
use crate::triggers::KINDS;

impl Outline {
    /// Parses a text, which can be incomplete.
    pub fn of(text: &str) -> Self {
        let all = tokens(text);
        let code: Vec<Token> = all.iter().filter(|token| token.kind != TokenKind::Comment).cloned().collect();
        let blocks = blocks(text, &code);
        let mut parser = Parser { text, code: &code, blocks, outline: Self::default() };
        for index in 0..code.len() {
            parser.parse(index);
        }
        Self { tokens: all, ..parser.outline }
    }
}

/// The range between an opening bracket and its closing bracket.
struct Block {
    open: usize,
    inside: Range<usize>,
}

fn blocks(text: &str, code: &[Token]) -> Vec<Block> {
    let (mut blocks, mut open) = (Vec::new(), Vec::new());
    for (index, token) in code.iter().enumerate().filter(|(_, token)| token.kind == TokenKind::Sign) {
        match &text[token.range.clone()] {
            "(" | "[" | "{" | "#{" | "${" => open.push(index),
            ")" | "]" | "}" => {
                if let Some(first) = open.pop() {
                    blocks.push(Block { open: first, inside: code[first].range.end..token.range.start });
                }
            }
            _ => {}
        }
    }
    blocks.extend(open.into_iter().map(|open| Block { open, inside: code[open].range.end..text.len() }));
    blocks
}

struct Parser<'f> {
    text: &'f str,
    code: &'f [Token],
    blocks: Vec<Block>,
    outline: Outline,
}

impl Parser<'_> {
    fn is(&self, index: usize, what: &str) -> bool {
        self.code.get(index).is_some_and(|token| &self.text[token.range.clone()] == what)
    }

    fn word(&self, index: usize) -> Option<&str> {
        self.code.get(index).filter(|token| token.kind == TokenKind::Word).map(|token| &self.text[token.range.clone()])
    }

    /// Returns the range inside a bracket.
    fn inside(&self, open: usize) -> Option<Range<usize>> {
        self.blocks.iter().find(|block| block.open == open).map(|block| block.inside.clone())
    }

    /// Returns the end of the innermost bracket around a token.
    fn end_around(&self, index: usize) -> usize {
        let at = self.code[index].range.start;
        let around = self.blocks.iter().filter(|block| block.inside.contains(&at));
        around.map(|block| block.inside.end).min().unwrap_or(self.text.len())
    }

    fn parse(&mut self, index: usize) {
        match self.word(index) {
            Some("fn") => self.function(index),
            Some("import") => self.import(index),
            Some(word @ ("let" | "const")) => {
                let is_constant = word == "const";
                let from = self.word(index + 3).filter(|_| self.is(index + 2, "=") && self.is(index + 4, "("));
                let from = from.map(str::to_owned);
                self.name(index + 1, is_constant, from, None);
            }
            Some("for" | "catch") => {
                let behind = (index + 1..self.code.len().min(index + 6)).take_while(|index| !self.is(*index, "in"));
                let words: Vec<_> = behind.take_while(|index| !self.is(*index, "{")).collect();
                for index in words {
                    self.name(index, false, None, None);
                }
            }
            Some(word) => {
                let kind = KINDS.iter().find(|kind| kind.name == word);
                let is_method = index > 0 && (self.is(index - 1, ".") || self.is(index - 1, "::"));
                if let Some(kind) = kind.filter(|_| !is_method && self.is(index + 1, "(")) {
                    self.trigger(index, kind);
                }
            }
            None if self.is(index, "|") && self.begins_value(index) => self.closure(index),
            None => {}
        }
    }

    /// Returns whether a value begins at a token. There a `|` opens a closure.
    fn begins_value(&self, index: usize) -> bool {
        index == 0 || ["(", ",", "=", "[", "{", ":", ";", "=>", "return"].iter().any(|sign| self.is(index - 1, sign))
    }

    fn name(&mut self, index: usize, is_constant: bool, from: Option<String>, scope: Option<Range<usize>>) {
        let Some(name) = self.word(index).map(str::to_owned) else { return };
        let range = self.code[index].range.clone();
        let scope = scope.unwrap_or_else(|| range.end..self.end_around(index));
        self.outline.names.push(Name { name, is_constant, from, range, scope });
    }

    fn closure(&mut self, index: usize) {
        let scope = self.code[index].range.end..self.end_around(index);
        let parameters = (index + 1..self.code.len()).take_while(|index| !self.is(*index, "|"));
        let parameters: Vec<_> = parameters.filter(|index| self.word(*index).is_some()).collect();
        for parameter in parameters {
            self.name(parameter, false, None, Some(scope.clone()));
        }
    }

    fn function(&mut self, index: usize) {
        let Some(name) = self.word(index + 1).map(str::to_owned) else { return };
        let is_private = index > 0 && self.is(index - 1, "private");
        let start = self.code[if is_private { index - 1 } else { index }].range.start;
        let name_range = self.code[index + 1].range.clone();
        let list = self.inside(index + 2).filter(|_| self.is(index + 2, "("));
        let list = list.unwrap_or(name_range.end..name_range.end);
        let parameters = (index + 2..self.code.len()).filter(|index| list.contains(&self.code[*index].range.start));
        let parameters: Vec<_> = parameters.filter(|index| self.word(*index).is_some()).collect();
        let body = (index + 2..self.code.len())
            .find(|index| self.code[*index].range.start >= list.end && self.is(*index, "{"));
        let end =
            body.and_then(|body| self.inside(body)).map_or(list.end, |inside| (inside.end + 1).min(self.text.len()));
        let names = parameters.iter().filter_map(|index| self.word(*index)).map(str::to_owned).collect();
        let function = Function {
            name,
            parameters: names,
            docs: docs(self.text, start),
            is_private,
            name_range,
            range: start..end,
        };
        for parameter in parameters {
            self.name(parameter, false, None, Some(start..end));
        }
        self.outline.functions.push(function);
    }

    fn import(&mut self, index: usize) {
        let Some(token) = self.code.get(index + 1).filter(|token| token.kind == TokenKind::Text) else { return };
        let path = self.text[token.range.clone()].trim_matches('"').to_owned();
        let alias = self.word(index + 3).filter(|_| self.is(index + 2, "as")).unwrap_or_default().to_owned();
        self.outline.imports.push(Import { path, path_range: token.range.clone(), alias });
    }

    fn trigger(&mut self, index: usize, kind: &'static crate::triggers::Kind) {
        let Some(inside) = self.inside(index + 1) else { return };
        let first = self.code.get(index + 2).filter(|token| token.kind == TokenKind::Text);
        let what = first.map(|token| self.text[token.range.clone()].trim_matches(['"', '`']).to_owned());
        let within = (index + 2..self.code.len()).take_while(|index| self.code[*index].range.start < inside.end);
        let depth_of = |at: usize| self.blocks.iter().filter(|block| block.inside.contains(&at)).count();
        let depth = depth_of(inside.start);
        let closure = within
            .filter(|index| self.is(*index, "|") && self.begins_value(*index))
            .find(|index| depth_of(self.code[*index].range.start) <= depth.max(1));
        let event = closure.and_then(|closure| self.word(closure + 1)).map(str::to_owned);
        let name_range = self.code[index].range.clone();
        let range = name_range.start..(inside.end + 1).min(self.text.len());
        self.outline.triggers.push(Trigger { kind, what, event, name_range, range });
    }
}

/// Returns the text of the `///` comments above an offset.
fn docs(text: &str, start: usize) -> String {
    let line = text[..start].rfind('\n').map_or(0, |end| end + 1);
    let above = text[..line].lines().rev().map(str::trim_start).take_while(|line| line.starts_with("///"));
    let mut lines: Vec<_> = above.map(|line| line.trim_start_matches("///").trim()).collect();
    lines.reverse();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_script_has_an_outline() {
        let text = "import \"_lib/units\" as units;\nconst LIMIT = 3;\n/// Twice.\nprivate fn twice(x) { 2 * x }\n\
                    cron(\"0 7 * * *\", #{ timezone: \"UTC\" }, |tick| {\n    let r = http_get(\"x\");\n    tick.\n";
        let outline = Outline::of(text);
        assert_eq!((outline.imports[0].path.as_str(), outline.imports[0].alias.as_str()), ("_lib/units", "units"));
        let function = &outline.functions[0];
        assert_eq!((function.name.as_str(), function.docs.as_str(), function.is_private), ("twice", "Twice.", true));
        assert_eq!(&text[function.range.clone()], "private fn twice(x) { 2 * x }");
        let trigger = &outline.triggers[0];
        assert_eq!((trigger.kind.name, trigger.what.as_deref()), ("cron", Some("0 7 * * *")));
        assert!(outline.event_at("tick", text.len() - 1).is_some());
        assert_eq!(outline.name_at("r", text.len() - 1).unwrap().from.as_deref(), Some("http_get"));
        assert!(outline.name_at("x", text.len() - 1).is_none(), "a parameter is visible in its function only");
    }
}
