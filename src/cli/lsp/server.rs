//! Language server: open documents, published diagnostics, pending checks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use lsp_server::{ErrorCode, Message, Notification, Request};
use lsp_types::{
    CompletionOptions, DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams,
    HoverProviderCapability, InitializeParams, OneOf, PublishDiagnosticsParams, ServerCapabilities,
    SignatureHelpOptions, TextDocumentIdentifier, TextDocumentPositionParams, TextDocumentSyncCapability,
    TextDocumentSyncKind, TextDocumentSyncOptions, TextDocumentSyncSaveOptions,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::checker::{CheckRequest, DiagnosticsByFile};
use super::documents::{DocumentView, Documents};
use super::server_event::ServerEvent;
use super::wire::{self, Incoming};
use super::{completion, diagnostics, features};
use crate::cli::exit::FAILURE;
use crate::cli::settings::Globals;

/// Time after the last edit before a check starts.
const PAUSE: Duration = Duration::from_millis(200);

/// Timeout where no check is pending.
const LONG: Duration = Duration::from_secs(86_400);

/// The language server of one editor.
pub(super) struct Server {
    globals: Globals,
    documents: Documents,
    check_tx: SyncSender<CheckRequest>,
    /// The time of the next check.
    due: Option<Instant>,
    is_checking: bool,
    published: DiagnosticsByFile,
    phase: Phase,
    client: Client,
}

/// Phase of the protocol.
#[derive(PartialEq)]
enum Phase {
    New,
    Running,
    ShutDown,
}

/// Capabilities of the editor.
#[derive(Default)]
struct Client {
    has_snippets: bool,
    watches_files: bool,
}

type ResponseResult = Result<Value, (ErrorCode, String)>;

impl Server {
    pub(super) fn new(globals: Globals, check_tx: SyncSender<CheckRequest>) -> Self {
        Self {
            globals,
            documents: Documents::default(),
            check_tx,
            due: None,
            is_checking: false,
            published: DiagnosticsByFile::new(),
            phase: Phase::New,
            client: Client::default(),
        }
    }

    /// Handles events until the notification `exit` or the end of the input.
    ///
    /// Source: Language Server Protocol 3.17, "Exit Notification": 0 after a shutdown, else 1. The end of the input without `exit` is 0.
    pub(super) fn serve(mut self, events: &Receiver<ServerEvent>) -> ExitCode {
        loop {
            let wait = self.due.filter(|_| !self.is_checking);
            let wait = wait.map_or(LONG, |due| due.saturating_duration_since(Instant::now()));
            match events.recv_timeout(wait) {
                Ok(ServerEvent::Incoming(Incoming::End)) | Err(RecvTimeoutError::Disconnected) => {
                    return ExitCode::SUCCESS;
                }
                Ok(ServerEvent::Incoming(Incoming::Malformed(answer))) => wire::send_raw(&answer),
                Ok(ServerEvent::Incoming(Incoming::Message(message))) => match message {
                    Message::Request(request) => self.request(request),
                    Message::Notification(notification) if notification.method == "exit" => {
                        let is_asked = self.phase == Phase::ShutDown;
                        return if is_asked { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) };
                    }
                    Message::Notification(notification) => self.notification(notification),
                    Message::Response(_) => {}
                },
                Ok(ServerEvent::Checked(found)) => {
                    self.is_checking = false;
                    found.into_iter().for_each(|found| self.publish_changes(found));
                }
                Err(RecvTimeoutError::Timeout) => self.check(),
            }
        }
    }

    fn request(&mut self, request: Request) {
        let answer = match (request.method.as_str(), &self.phase) {
            ("initialize", Phase::New) => self.initialize(&request.params),
            ("initialize", _) => Err((ErrorCode::InvalidRequest, "the server is initialized already".to_owned())),
            (_, Phase::New) => Err((ErrorCode::ServerNotInitialized, "send `initialize` first".to_owned())),
            (_, Phase::ShutDown) => Err((ErrorCode::InvalidRequest, "the server is shut down".to_owned())),
            ("shutdown", Phase::Running) => {
                self.phase = Phase::ShutDown;
                Ok(Value::Null)
            }
            (method, Phase::Running) => catch_unwind(AssertUnwindSafe(|| self.answer(method, request.params.clone())))
                .unwrap_or_else(|_| {
                    Err((ErrorCode::InternalError, format!("{method} panicked: this is a bug in rhaid")))
                }),
        };
        wire::answer(request.id, answer);
    }

    fn answer(&self, method: &str, params: Value) -> ResponseResult {
        match method {
            "textDocument/completion" => {
                let snippets = self.client.has_snippets;
                self.at(params, |view| json!({ "isIncomplete": false, "items": completion::complete(view, snippets) }))
            }
            "textDocument/hover" => self.at(params, |view| json!(features::hover(view))),
            "textDocument/definition" => self.at(params, |view| json!(features::definition(view))),
            "textDocument/signatureHelp" => self.at(params, |view| json!(features::signatures(view))),
            "textDocument/documentSymbol" => {
                let uri = read::<DocumentParams>(params)?.text_document.uri;
                Ok(self.documents.view(&uri).map_or(Value::Null, |view| json!(features::symbols(&view))))
            }
            method => Err((ErrorCode::MethodNotFound, format!("the method `{method}` is not supported"))),
        }
    }

    fn at(&self, params: Value, answer: impl FnOnce(&DocumentView<'_>) -> Value) -> ResponseResult {
        let TextDocumentPositionParams { text_document, position } = read(params)?;
        Ok(self.documents.view_at(&text_document.uri, position).map_or(Value::Null, |view| answer(&view)))
    }

    fn initialize(&mut self, params: &Value) -> ResponseResult {
        let params: InitializeParams = read(params.clone())?;
        let text = params.capabilities.text_document;
        let items = text.and_then(|text| text.completion).and_then(|completion| completion.completion_item);
        let files = params.capabilities.workspace.and_then(|workspace| workspace.did_change_watched_files);
        self.client = Client {
            has_snippets: items.and_then(|item| item.snippet_support) == Some(true),
            watches_files: files.and_then(|files| files.dynamic_registration) == Some(true),
        };
        self.phase = Phase::Running;
        let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        let capabilities = ServerCapabilities {
            text_document_sync: Some(TextDocumentSyncCapability::Options(TextDocumentSyncOptions {
                open_close: Some(true),
                change: Some(TextDocumentSyncKind::INCREMENTAL),
                save: Some(TextDocumentSyncSaveOptions::Supported(true)),
                ..TextDocumentSyncOptions::default()
            })),
            completion_provider: Some(CompletionOptions {
                trigger_characters: words(&[".", ":", "\"", "/", "{"]),
                ..CompletionOptions::default()
            }),
            hover_provider: Some(HoverProviderCapability::Simple(true)),
            definition_provider: Some(OneOf::Left(true)),
            document_symbol_provider: Some(OneOf::Left(true)),
            signature_help_provider: Some(SignatureHelpOptions {
                trigger_characters: words(&["(", ","]),
                ..SignatureHelpOptions::default()
            }),
            ..ServerCapabilities::default()
        };
        Ok(json!({
            "capabilities": capabilities,
            "serverInfo": { "name": "rhaid", "version": env!("CARGO_PKG_VERSION") },
        }))
    }

    /// Handles a notification. Malformed and unknown ones are ignored, because a notification has no response.
    fn notification(&mut self, notification: Notification) {
        let Notification { method, params } = notification;
        match method.as_str() {
            "initialized" if self.client.watches_files => {
                let watchers = ["**/*.rhai", "**/rhaid.yaml"].map(|glob| json!({ "globPattern": glob }));
                let registration = json!({ "registrations": [{
                    "id": "files", "method": "workspace/didChangeWatchedFiles", "registerOptions": { "watchers": watchers },
                }] });
                let id = "files".to_owned().into();
                wire::send(Request::new(id, "client/registerCapability".to_owned(), registration));
            }
            "textDocument/didOpen" => {
                if let Ok(DidOpenTextDocumentParams { text_document: document }) = read(params) {
                    self.documents.open(document.uri, document.version, document.text, &self.globals);
                    self.due(Duration::ZERO);
                }
            }
            "textDocument/didChange" => {
                if let Ok(DidChangeTextDocumentParams { text_document: document, content_changes }) = read(params) {
                    self.documents.change(&document.uri, document.version, &content_changes);
                    self.due(PAUSE);
                }
            }
            "textDocument/didClose" => {
                if let Ok(DidCloseTextDocumentParams { text_document }) = read(params) {
                    self.documents.close(&text_document.uri);
                    self.due(Duration::ZERO);
                }
            }
            "textDocument/didSave" | "workspace/didChangeWatchedFiles" => self.due(Duration::ZERO),
            _ => {}
        }
    }

    fn due(&mut self, pause: Duration) {
        self.due = Some(Instant::now() + pause);
    }

    fn check(&mut self) {
        if self.is_checking || self.due.is_none_or(|due| due > Instant::now()) {
            return;
        }
        let locations =
            self.documents.all().map(|document| (document.path.clone(), document.location.clone())).collect();
        let check_request = CheckRequest { locations, texts: self.documents.texts() };
        if self.check_tx.try_send(check_request).is_ok() {
            self.is_checking = true;
            self.due = None;
        }
    }

    /// Publishes the diagnostics that differ from the published ones.
    fn publish_changes(&mut self, found: DiagnosticsByFile) {
        let gone = self.published.iter().filter(|(path, old)| !old.is_empty() && !found.contains_key(*path));
        gone.for_each(|(path, _)| self.publish(path, &[]));
        for (path, new) in &found {
            if self.published.get(path).map_or(&[][..], Vec::as_slice) != new.as_slice() {
                self.publish(path, new);
            }
        }
        self.published = found;
    }

    fn publish(&self, path: &Path, diagnostics: &[lsp_types::Diagnostic]) {
        let open = self.documents.of_file(path);
        let uri = open.map(|document| document.uri.clone()).or_else(|| diagnostics::uri(path));
        if let Some(uri) = uri {
            let version = open.map(|document| document.version);
            let params = PublishDiagnosticsParams { uri, diagnostics: diagnostics.to_vec(), version };
            wire::notify("textDocument/publishDiagnostics", params);
        }
    }
}

/// Parameters of a request about a whole document.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct DocumentParams {
    text_document: TextDocumentIdentifier,
}

fn read<P: DeserializeOwned>(params: Value) -> Result<P, (ErrorCode, String)> {
    serde_json::from_value(params).map_err(|why| (ErrorCode::InvalidParams, why.to_string()))
}
