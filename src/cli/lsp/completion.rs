//! Completion of names, options, members and import paths.

use std::collections::BTreeSet;
use std::path::Path;

use lsp_types::{
    CompletionItem, CompletionItemKind as Sort, CompletionTextEdit, Documentation, InsertTextFormat, MarkupContent,
    MarkupKind, TextEdit,
};

use super::catalog;
use super::documents::DocumentView;
use crate::cli::reference::call;
use crate::functions::reference::{Form, ReferenceEntry};
use crate::script::outline::{CompletionTarget, KEYWORDS};
use crate::script::standard_functions;
use crate::triggers::Kind;

/// Depth of the search for modules.
const DEPTH: usize = 8;

/// Returns the completions at the position; with `snippets` a trigger is completed with its handler.
pub(super) fn complete(view: &DocumentView<'_>, snippets: bool) -> Vec<CompletionItem> {
    match view.outline.completion_target_at(view.text(), view.offset) {
        CompletionTarget::Nothing => Vec::new(),
        CompletionTarget::ImportPath => modules(view),
        CompletionTarget::ModuleItem(alias) => of_module(view, &alias),
        CompletionTarget::Member(name) => members(view, name.as_deref()),
        CompletionTarget::Option(call) if !view.catalog.options(&call.name).is_empty() => {
            view.catalog.options(&call.name).into_iter().map(|(name, docs)| option(&name, docs)).collect()
        }
        CompletionTarget::Option(_) | CompletionTarget::AnyName => anything(view, snippets),
    }
}

fn item(label: &str, sort: Sort, detail: impl Into<Option<String>>, docs: String) -> CompletionItem {
    let value = MarkupContent { kind: MarkupKind::Markdown, value: docs };
    CompletionItem {
        label: label.to_owned(),
        kind: Some(sort),
        detail: detail.into(),
        documentation: (!value.value.is_empty()).then_some(Documentation::MarkupContent(value)),
        ..CompletionItem::default()
    }
}

fn option(name: &str, docs: String) -> CompletionItem {
    CompletionItem { insert_text: Some(format!("{name}: ")), ..item(name, Sort::FIELD, None, docs) }
}

fn entry(entry: &ReferenceEntry) -> CompletionItem {
    let form = entry.signatures.first().map(|signature| signature.form);
    let sort = match form {
        Some(Form::Function) => Sort::FUNCTION,
        Some(Form::Method) => Sort::METHOD,
        _ => Sort::PROPERTY,
    };
    let signatures: Vec<_> = entry.signatures.iter().map(|signature| signature.text.clone()).collect();
    item(&entry.function, sort, signatures.first().cloned(), catalog::entry_page(entry))
}

fn kind(kind: &Kind, snippets: bool) -> CompletionItem {
    let item = item(kind.name, Sort::EVENT, call(kind), catalog::kind_page(kind));
    if !snippets {
        return item;
    }
    let arguments = kind.arguments.iter().enumerate().map(|(index, name)| format!("\"${{{}:{name}}}\", ", index + 1));
    let snippet =
        format!("{}({}|{}| {{\n\t$0\n}});", kind.name, arguments.collect::<String>(), catalog::event_name(kind));
    CompletionItem { insert_text: Some(snippet), insert_text_format: Some(InsertTextFormat::SNIPPET), ..item }
}

fn anything(view: &DocumentView<'_>, snippets: bool) -> Vec<CompletionItem> {
    let outline = &view.outline;
    let mut items: Vec<_> = outline
        .names
        .iter()
        .filter(|name| name.scope.contains(&view.offset) || name.scope.end == view.offset)
        .map(|name| {
            item(&name.name, if name.is_constant { Sort::CONSTANT } else { Sort::VARIABLE }, None, String::new())
        })
        .collect();
    items.extend(outline.functions.iter().map(|function| {
        item(&function.name, Sort::FUNCTION, catalog::own_signature(function), catalog::own_page(function))
    }));
    let imports = outline.imports.iter().filter(|import| !import.alias.is_empty());
    items.extend(imports.map(|import| item(&import.alias, Sort::MODULE, import.path.clone(), String::new())));
    items.push(item(
        "state",
        Sort::VARIABLE,
        None,
        "Persistent state of this script; it survives runs, reloads and restarts.".into(),
    ));
    items.extend(view.catalog.kinds.iter().map(|catalog| kind(catalog, snippets)));
    items
        .extend(view.catalog.entries.iter().filter(|of| catalog::is_name(&of.function) && of.is_function()).map(entry));
    items.extend(KEYWORDS.iter().map(|word| item(word, Sort::KEYWORD, None, String::new())));
    distinct(items)
}

/// Removes items with the name of an earlier one: the nearest definitions come first.
fn distinct(mut items: Vec<CompletionItem>) -> Vec<CompletionItem> {
    let mut seen = BTreeSet::new();
    items.retain(|item| seen.insert(item.label.clone()));
    items
}

fn members(view: &DocumentView<'_>, name: Option<&str>) -> Vec<CompletionItem> {
    if let Some(trigger) = name.and_then(|name| view.outline.event_at(name, view.offset)) {
        return catalog::event_fields(trigger.kind)
            .into_iter()
            .map(|field| match field.strip_suffix("()") {
                Some(method) => item(method, Sort::METHOD, field.to_owned(), String::new()),
                None => item(field, Sort::FIELD, None, String::new()),
            })
            .collect();
    }
    if let Some(of) = name.and_then(|name| view.catalog.type_of(&view.outline, name, view.offset)) {
        let items: Vec<_> = view.catalog.members(of).into_iter().map(entry).collect();
        if !items.is_empty() {
            return items;
        }
    }
    let all = view.catalog.entries.iter().filter(|of| catalog::is_name(&of.function) && !of.is_function()).map(entry);
    let is_function = |name: &&str| view.catalog.kind(name).is_some() || !view.catalog.entries(name, false).is_empty();
    let standard = standard_functions()
        .filter(|name| !is_function(name))
        .map(|name| item(name, Sort::METHOD, None, String::new()));
    distinct(all.chain(standard).collect())
}

fn of_module(view: &DocumentView<'_>, alias: &str) -> Vec<CompletionItem> {
    let Some(module) = view.module(alias) else { return Vec::new() };
    let functions = module.outline.functions.iter().filter(|function| !function.is_private).map(|function| {
        item(&function.name, Sort::FUNCTION, catalog::own_signature(function), catalog::own_page(function))
    });
    let constants =
        module.outline.names.iter().filter(|name| name.is_constant && name.scope.end == module.text.text.len());
    let constants = constants.map(|name| item(&name.name, Sort::CONSTANT, None, String::new()));
    functions.chain(constants).collect()
}

fn modules(view: &DocumentView<'_>) -> Vec<CompletionItem> {
    let mut files = Vec::new();
    below(&view.document.location.root, "", DEPTH, &mut files);
    let token =
        view.outline.tokens.iter().find(|token| token.range.start < view.offset && view.offset <= token.range.end);
    let Some(token) = token else { return Vec::new() };
    let piece = &view.text()[token.range.clone()];
    let is_closed = piece.len() > 1 && piece.ends_with('"');
    let range = view.document.text.span(&(token.range.start + 1..token.range.end - usize::from(is_closed)));
    let own = view.document.location.file.strip_suffix(".rhai").unwrap_or_default();
    files.sort();
    let items = files.into_iter().filter(|file| file != own).map(|file| CompletionItem {
        text_edit: Some(CompletionTextEdit::Edit(TextEdit { range, new_text: file.clone() })),
        ..item(&file, Sort::MODULE, None, String::new())
    });
    items.collect()
}

/// Lists the modules: files whose name, or the name of a folder above them, begins with `_`.
fn below(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_folder = entry.file_type().is_ok_and(|of| of.is_dir());
        if name.starts_with('.') {
            continue;
        }
        if is_folder && depth > 0 {
            below(&entry.path(), &format!("{prefix}{name}/"), depth - 1, files);
        } else if let Some(module) = name.strip_suffix(".rhai").filter(|_| !is_folder) {
            let file = format!("{prefix}{module}");
            if file.split('/').any(|part| part.starts_with('_')) {
                files.push(file);
            }
        }
    }
}
