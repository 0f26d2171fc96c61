//! Open documents, and a view of one of them at a position.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lsp_types::{Position, TextDocumentContentChangeEvent, Uri};
use url::Url;

use super::catalog::Catalog;
use super::file_location::{FileLocation, OpenTexts};
use super::text::Text;
use crate::cli::settings::Globals;
use crate::script::outline::{Outline, imported_file};
use crate::value::map_of;

/// The open documents.
#[derive(Default)]
pub(super) struct Documents(BTreeMap<String, Document>);

/// An open document.
pub(super) struct Document {
    pub(super) uri: Uri,
    /// The canonical path of the file, which need not exist yet.
    pub(super) path: PathBuf,
    pub(super) version: i32,
    pub(super) text: Text,
    pub(super) location: FileLocation,
}

impl Documents {
    pub(super) fn open(&mut self, uri: Uri, version: i32, text: String, globals: &Globals) {
        let path = path(&uri).unwrap_or_else(|| PathBuf::from(uri.as_str()));
        let location = FileLocation::of(&path, globals);
        self.0.insert(uri.as_str().to_owned(), Document { uri, path, version, text: Text::new(text), location });
    }

    pub(super) fn change(&mut self, uri: &Uri, version: i32, changes: &[TextDocumentContentChangeEvent]) {
        if let Some(document) = self.0.get_mut(uri.as_str()) {
            document.version = version;
            document.text = changes.iter().fold(document.text.clone(), |text, change| text.changed(change));
        }
    }

    pub(super) fn close(&mut self, uri: &Uri) {
        self.0.remove(uri.as_str());
    }

    /// Returns the open document of a file.
    pub(super) fn of_file(&self, path: &Path) -> Option<&Document> {
        self.0.values().find(|document| document.path == path)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Document> {
        self.0.values()
    }

    /// Returns the edited texts by file.
    pub(super) fn texts(&self) -> OpenTexts {
        map_of(self.all().map(|document| (document.path.clone(), document.text.text.clone())))
    }

    /// Returns a parsed document.
    pub(super) fn view(&self, uri: &Uri) -> Option<DocumentView<'_>> {
        let document = self.0.get(uri.as_str())?;
        Some(DocumentView {
            document,
            documents: self,
            outline: Outline::of(&document.text.text),
            catalog: Catalog::of(&document.location.file),
            offset: 0,
        })
    }

    /// Returns a parsed document and a position in it.
    pub(super) fn view_at(&self, uri: &Uri, position: Position) -> Option<DocumentView<'_>> {
        let view = self.view(uri)?;
        Some(DocumentView { offset: view.document.text.offset(position), ..view })
    }
}

/// Returns the canonical path of a file, which need not exist yet.
fn path(uri: &Uri) -> Option<PathBuf> {
    let path = Url::parse(uri.as_str()).ok()?.to_file_path().ok()?;
    let folder = |path: &Path| Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    Some(path.canonicalize().ok().or_else(|| folder(&path)).unwrap_or(path))
}

/// A parsed document and a position in it.
pub(super) struct DocumentView<'d> {
    pub(super) document: &'d Document,
    documents: &'d Documents,
    pub(super) outline: Outline,
    pub(super) catalog: Catalog,
    pub(super) offset: usize,
}

/// A module that a document imports.
pub(super) struct Module {
    pub(super) path: PathBuf,
    pub(super) text: Text,
    pub(super) outline: Outline,
}

impl DocumentView<'_> {
    pub(super) fn text(&self) -> &str {
        &self.document.text.text
    }

    /// Returns the index of the token at the position.
    pub(super) fn token(&self) -> Option<usize> {
        self.outline.token_at(self.offset)
    }

    /// Returns the text of a token.
    pub(super) fn word(&self, index: usize) -> &str {
        self.outline.tokens.get(index).map_or("", |token| &self.text()[token.range.clone()])
    }

    /// Returns the word before an operator, if the token follows one of these operators.
    pub(super) fn before(&self, index: usize, signs: &[&str]) -> Option<&str> {
        signs
            .contains(&self.word(index.checked_sub(1)?))
            .then(|| index.checked_sub(2).map_or("", |index| self.word(index)))
    }

    /// Returns the module that is imported with an alias.
    pub(super) fn module(&self, alias: &str) -> Option<Module> {
        self.imported(&self.outline.imports.iter().find(|import| import.alias == alias)?.path)
    }

    /// Returns the module that an import path refers to.
    pub(super) fn imported(&self, path: &str) -> Option<Module> {
        let location = &self.document.location;
        let file = imported_file(&location.file, path).ok()?;
        let text: Arc<str> = location.read(&file, &self.documents.texts())?;
        let outline = Outline::of(&text);
        Some(Module { path: location.root.join(file), text: Text::new(text), outline })
    }
}
