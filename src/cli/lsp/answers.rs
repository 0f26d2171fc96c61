//! What stands at a place, where it comes from, what a file declares, and how the call around a place is written.

use std::ops::Range;
use std::path::Path;

use lsp_types::{
    DocumentSymbol, Documentation, Hover, HoverContents, Location, MarkupContent, MarkupKind, ParameterInformation,
    ParameterLabel, SignatureHelp, SignatureInformation, SymbolKind,
};

use super::diagnostics::uri;
use super::documents::Look;
use super::known;
use super::text::Text;
use crate::cli::reference::call as trigger_call;
use crate::functions::reference::Entry;
use crate::script::lint::LINTS;
use crate::script::outline::{Function, TokenKind};

fn markdown(value: String) -> MarkupContent {
    MarkupContent { kind: MarkupKind::Markdown, value }
}

/// Returns what there is to say about what stands at the place.
pub(super) fn hover(look: &Look<'_>) -> Option<Hover> {
    let index = look.token()?;
    let at = look.outline.tokens[index].range.clone();
    let page = page(look, index)?;
    let range = Some(look.document.text.span(&at));
    Some(Hover { contents: HoverContents::Markup(markdown(page)), range })
}

fn page(look: &Look<'_>, index: usize) -> Option<String> {
    let word = look.word(index);
    if look.outline.tokens[index].kind == TokenKind::Comment {
        let lint = LINTS.iter().find(|lint| word.contains("rhaid: allow") && word.contains(lint.code))?;
        return Some(format!("`{}`\n\n{}", lint.code, lint.docs));
    }
    if look.outline.tokens[index].kind != TokenKind::Word {
        return None;
    }
    if let Some(alias) = look.before(index, &["::"]) {
        return function(&look.module(alias)?.outline.functions, word).map(known::own_page);
    }
    if let Some(receiver) = look.before(index, &[".", "?."]) {
        let of = look.known.type_of(&look.outline, receiver, look.offset);
        return join(look.known.entries(word, true), of).or_else(|| join(look.known.entries(word, false), None));
    }
    if let Some(own) = function(&look.outline.functions, word) {
        return Some(known::own_page(own));
    }
    if let Some(call) = look.outline.call_at(look.text(), look.offset).filter(|call| call.is_in_options)
        && let Some((name, docs)) = look.known.options(&call.name).into_iter().find(|(name, _)| name == word)
        && look.word(index + 1) == ":"
    {
        return Some(format!("`{name}` of `{}`: {docs}", call.name));
    }
    if let Some(trigger) = look.outline.event_at(word, look.offset) {
        return Some(format!("What `{}` hands its handler: {}", trigger.kind.name, trigger.kind.event));
    }
    if look.outline.name_at(word, look.offset).is_some() {
        return None;
    }
    look.known.kind(word).map(known::kind_page).or_else(|| join(look.known.entries(word, false), None))
}

/// Returns the pages of entries, of those of a type alone if there are some.
fn join(entries: Vec<&Entry>, of: Option<&str>) -> Option<String> {
    let is_of = |entry: &&&Entry| entry.signatures.iter().any(|signature| signature.receiver.as_deref() == of);
    let own: Vec<_> = entries.iter().filter(is_of).copied().collect();
    let chosen = if own.is_empty() { entries } else { own };
    let pages: Vec<_> = chosen.into_iter().map(known::entry_page).collect();
    (!pages.is_empty()).then(|| pages.join("\n---\n"))
}

fn function<'f>(functions: &'f [Function], name: &str) -> Option<&'f Function> {
    functions.iter().find(|function| function.name == name)
}

/// Returns where what stands at the place comes from.
pub(super) fn definition(look: &Look<'_>) -> Option<Location> {
    let index = look.token()?;
    let (word, token) = (look.word(index), &look.outline.tokens[index]);
    let here =
        |range: &Range<usize>| Some(Location { uri: look.document.uri.clone(), range: look.document.text.span(range) });
    if token.kind == TokenKind::Text {
        let import = look.outline.imports.iter().find(|import| import.path_range == token.range)?;
        let module = look.imported(&import.path)?;
        return there(&module.path, &module.text, &(0..0));
    }
    if token.kind != TokenKind::Word || look.before(index, &[".", "?."]).is_some_and(|before| before != "this") {
        return None;
    }
    if let Some(alias) = look.before(index, &["::"]) {
        let module = look.module(alias)?;
        let constant = || module.outline.names.iter().find(|name| name.name == word).map(|name| &name.range);
        let at = function(&module.outline.functions, word).map(|function| &function.name_range).or_else(constant)?;
        return there(&module.path, &module.text, at);
    }
    if look.word(index + 1) == "::" {
        let module = look.module(word)?;
        return there(&module.path, &module.text, &(0..0));
    }
    let name = look.outline.name_at(word, look.offset).map(|name| &name.range);
    here(name.or_else(|| function(&look.outline.functions, word).map(|function| &function.name_range))?)
}

fn there(path: &Path, text: &Text, at: &Range<usize>) -> Option<Location> {
    Some(Location { uri: uri(path)?, range: text.span(at) })
}

/// Returns the triggers and functions of a file.
pub(super) fn symbols(look: &Look<'_>) -> Vec<DocumentSymbol> {
    let text = &look.document.text;
    let symbol = |name: String, detail: Option<String>, kind: SymbolKind, whole: &Range<usize>, at: &Range<usize>| {
        #[expect(deprecated, reason = "the type has no other way to be made than with this field")]
        DocumentSymbol {
            name,
            detail,
            kind,
            tags: None,
            deprecated: None,
            range: text.span(whole),
            selection_range: text.span(at),
            children: None,
        }
    };
    let triggers = look.outline.triggers.iter().map(|trigger| {
        let name = format!("{} {}", trigger.kind.name, trigger.what.as_deref().unwrap_or_default());
        symbol(name.trim().to_owned(), None, SymbolKind::EVENT, &trigger.range, &trigger.name_range)
    });
    let functions = look.outline.functions.iter().filter(|function| !function.name.is_empty()).map(|function| {
        let detail = format!("({})", function.parameters.join(", "));
        symbol(function.name.clone(), Some(detail), SymbolKind::FUNCTION, &function.range, &function.name_range)
    });
    let mut symbols: Vec<_> = triggers.chain(functions).collect();
    symbols.sort_by_key(|symbol| (symbol.range.start, symbol.range.end));
    symbols
}

/// Returns how the call around the place is written.
pub(super) fn signatures(look: &Look<'_>) -> Option<SignatureHelp> {
    let call = look.outline.call_at(look.text(), look.offset)?;
    let argument = call.argument as u32;
    let one = |label: String, names: Vec<String>, docs: String| SignatureInformation {
        label,
        documentation: Some(Documentation::MarkupContent(markdown(docs))),
        active_parameter: Some(argument),
        parameters: Some(
            names
                .into_iter()
                .map(|name| ParameterInformation { label: ParameterLabel::Simple(name), documentation: None })
                .collect(),
        ),
    };
    let own = |own: &Function| vec![one(known::own_signature(own), own.parameters.clone(), own.docs.clone())];
    let signatures = if let Some(alias) = &call.module {
        own(function(&look.module(alias)?.outline.functions, &call.name)?)
    } else if let Some(function) = function(&look.outline.functions, &call.name) {
        own(function)
    } else if let Some(kind) = look.known.kind(&call.name) {
        let names = kind.arguments.iter().copied().chain(["[options,]", "handler"]).map(str::to_owned).collect();
        vec![one(trigger_call(kind), names, kind.docs.to_owned())]
    } else {
        let entries = look.known.entries(&call.name, call.is_method);
        let each = |entry: &'static Entry| entry.signatures.iter().map(move |signature| (entry, signature));
        let ways = entries.into_iter().flat_map(each);
        ways.map(|(entry, way)| {
            let names = way.parameters.iter().map(|(name, of)| format!("{name}: {of}")).collect();
            one(way.text.clone(), names, entry.docs.clone())
        })
        .collect()
    };
    let fits = |way: &SignatureInformation| way.parameters.as_ref().is_some_and(|names| names.len() > call.argument);
    let active = signatures.iter().position(fits).unwrap_or(0) as u32;
    (!signatures.is_empty()).then_some(SignatureHelp {
        signatures,
        active_signature: Some(active),
        active_parameter: Some(argument),
    })
}
