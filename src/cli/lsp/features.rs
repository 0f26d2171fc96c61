//! Hover, definition, document symbols and signature help.

use std::ops::Range;
use std::path::Path;

use lsp_types::{
    DocumentSymbol, Documentation, Hover, HoverContents, Location, MarkupContent, MarkupKind, ParameterInformation,
    ParameterLabel, SignatureHelp, SignatureInformation, SymbolKind,
};

use super::catalog;
use super::diagnostics::uri;
use super::documents::DocumentView;
use super::text::Text;
use crate::cli::reference::call as trigger_call;
use crate::functions::reference::ReferenceEntry;
use crate::script::lint::LINTS;
use crate::script::outline::{Function, TokenKind};

fn markdown(value: String) -> MarkupContent {
    MarkupContent { kind: MarkupKind::Markdown, value }
}

/// Returns the reference of the name at the position.
pub(super) fn hover(view: &DocumentView<'_>) -> Option<Hover> {
    let index = view.token()?;
    let at = view.outline.tokens[index].range.clone();
    let page = page(view, index)?;
    let range = Some(view.document.text.span(&at));
    Some(Hover { contents: HoverContents::Markup(markdown(page)), range })
}

fn page(view: &DocumentView<'_>, index: usize) -> Option<String> {
    let word = view.word(index);
    if view.outline.tokens[index].kind == TokenKind::Comment {
        let lint = LINTS.iter().find(|lint| word.contains("rhaid: allow") && word.contains(lint.code))?;
        return Some(format!("`{}`\n\n{}", lint.code, lint.docs));
    }
    if view.outline.tokens[index].kind != TokenKind::Word {
        return None;
    }
    if let Some(alias) = view.before(index, &["::"]) {
        return function(&view.module(alias)?.outline.functions, word).map(catalog::own_page);
    }
    if let Some(receiver) = view.before(index, &[".", "?."]) {
        let of = view.catalog.type_of(&view.outline, receiver, view.offset);
        return join(view.catalog.entries(word, true), of).or_else(|| join(view.catalog.entries(word, false), None));
    }
    if let Some(own) = function(&view.outline.functions, word) {
        return Some(catalog::own_page(own));
    }
    if let Some(call) = view.outline.call_at(view.text(), view.offset).filter(|call| call.is_in_options)
        && let Some((name, docs)) = view.catalog.options(&call.name).into_iter().find(|(name, _)| name == word)
        && view.word(index + 1) == ":"
    {
        return Some(format!("`{name}` of `{}`: {docs}", call.name));
    }
    if let Some(trigger) = view.outline.event_at(word, view.offset) {
        return Some(format!("Argument of the handler of `{}`: {}", trigger.kind.name, trigger.kind.event));
    }
    if view.outline.name_at(word, view.offset).is_some() {
        return None;
    }
    view.catalog.kind(word).map(catalog::kind_page).or_else(|| join(view.catalog.entries(word, false), None))
}

/// Returns the pages of entries; only those of a type if there are any.
fn join(entries: Vec<&ReferenceEntry>, of: Option<&str>) -> Option<String> {
    let is_of = |entry: &&&ReferenceEntry| entry.signatures.iter().any(|signature| signature.receiver.as_deref() == of);
    let own: Vec<_> = entries.iter().filter(is_of).copied().collect();
    let chosen = if own.is_empty() { entries } else { own };
    let pages: Vec<_> = chosen.into_iter().map(catalog::entry_page).collect();
    (!pages.is_empty()).then(|| pages.join("\n---\n"))
}

fn function<'f>(functions: &'f [Function], name: &str) -> Option<&'f Function> {
    functions.iter().find(|function| function.name == name)
}

/// Returns the location of the definition of the name at the position.
pub(super) fn definition(view: &DocumentView<'_>) -> Option<Location> {
    let index = view.token()?;
    let (word, token) = (view.word(index), &view.outline.tokens[index]);
    let here =
        |range: &Range<usize>| Some(Location { uri: view.document.uri.clone(), range: view.document.text.span(range) });
    if token.kind == TokenKind::Text {
        let import = view.outline.imports.iter().find(|import| import.path_range == token.range)?;
        let module = view.imported(&import.path)?;
        return location_in(&module.path, &module.text, &(0..0));
    }
    if token.kind != TokenKind::Word || view.before(index, &[".", "?."]).is_some_and(|before| before != "this") {
        return None;
    }
    if let Some(alias) = view.before(index, &["::"]) {
        let module = view.module(alias)?;
        let constant = || module.outline.names.iter().find(|name| name.name == word).map(|name| &name.range);
        let at = function(&module.outline.functions, word).map(|function| &function.name_range).or_else(constant)?;
        return location_in(&module.path, &module.text, at);
    }
    if view.word(index + 1) == "::" {
        let module = view.module(word)?;
        return location_in(&module.path, &module.text, &(0..0));
    }
    let name = view.outline.name_at(word, view.offset).map(|name| &name.range);
    here(name.or_else(|| function(&view.outline.functions, word).map(|function| &function.name_range))?)
}

fn location_in(path: &Path, text: &Text, at: &Range<usize>) -> Option<Location> {
    Some(Location { uri: uri(path)?, range: text.span(at) })
}

/// Returns the triggers and functions of a file.
pub(super) fn symbols(view: &DocumentView<'_>) -> Vec<DocumentSymbol> {
    let text = &view.document.text;
    let symbol = |name: String, detail: Option<String>, kind: SymbolKind, whole: &Range<usize>, at: &Range<usize>| {
        #[expect(deprecated, reason = "the type has no constructor without this field")]
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
    let triggers = view.outline.triggers.iter().map(|trigger| {
        let name = format!("{} {}", trigger.kind.name, trigger.what.as_deref().unwrap_or_default());
        symbol(name.trim().to_owned(), None, SymbolKind::EVENT, &trigger.range, &trigger.name_range)
    });
    let functions = view.outline.functions.iter().filter(|function| !function.name.is_empty()).map(|function| {
        let detail = format!("({})", function.parameters.join(", "));
        symbol(function.name.clone(), Some(detail), SymbolKind::FUNCTION, &function.range, &function.name_range)
    });
    let mut symbols: Vec<_> = triggers.chain(functions).collect();
    symbols.sort_by_key(|symbol| (symbol.range.start, symbol.range.end));
    symbols
}

/// Returns the signatures of the call around the position.
pub(super) fn signatures(view: &DocumentView<'_>) -> Option<SignatureHelp> {
    let call = view.outline.call_at(view.text(), view.offset)?;
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
    let own = |own: &Function| vec![one(catalog::own_signature(own), own.parameters.clone(), own.docs.clone())];
    let signatures = if let Some(alias) = &call.module {
        own(function(&view.module(alias)?.outline.functions, &call.name)?)
    } else if let Some(function) = function(&view.outline.functions, &call.name) {
        own(function)
    } else if let Some(kind) = view.catalog.kind(&call.name) {
        let names = kind.arguments.iter().copied().chain(["[options,]", "handler"]).map(str::to_owned).collect();
        vec![one(trigger_call(kind), names, kind.docs.to_owned())]
    } else {
        let entries = view.catalog.entries(&call.name, call.is_method);
        let each = |entry: &'static ReferenceEntry| entry.signatures.iter().map(move |signature| (entry, signature));
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
