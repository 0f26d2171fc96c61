//! Request bodies: JSON, a form, files, text or a blob.

use std::sync::Arc;

use bytes::Bytes;

use crate::functions::arguments::bytes;
use crate::functions::http::call::pairs::{Pairs, encoded, named, pairs};
use crate::functions::outside::files::readable;
use crate::functions::thrown::{Thrown, with_prefix};
use crate::options::{OptionFault, Options};
use crate::services::http::{Content, Part, RequestBody};
use crate::value::Value;

/// Request body.
#[derive(Debug, Clone)]
pub(super) enum CallBody {
    /// Complete.
    Ready(RequestBody),
    /// Multipart form; the paths of its files are not checked yet.
    Form { fields: Pairs, files: Vec<FormFile> },
}

/// File of a multipart form.
#[derive(Debug, Clone)]
pub(super) struct FormFile {
    field: String,
    content: FileContent,
    name: Option<String>,
    content_type: Option<String>,
    headers: Pairs,
}

#[derive(Debug, Clone)]
enum FileContent {
    Bytes(Bytes),
    Path(String),
}

/// Reads the options `json`, `data` and `files`.
pub(super) fn read(options: &mut Options) -> Result<Option<CallBody>, OptionFault> {
    let json = options.take("json").map(|value| value.to_json_text());
    let data = options.take("data");
    let files = options.read("files", files)?;
    let fault = |name: &str, why| OptionFault { option: Some(name.into()), message: format!("{name}: {why}") };
    Ok(match (json, data, files) {
        (None, None, None) => None,
        (Some(json), None, None) => Some(CallBody::Ready(RequestBody::Bytes(json.into(), Some("application/json")))),
        (None, Some(data), None) => Some(CallBody::Ready(body(data).map_err(|why| fault("data", why))?)),
        (None, data, Some(files)) => {
            let fields = data.map_or_else(|| Ok(Pairs::new()), |data| pairs(data, true));
            Some(CallBody::Form { fields: fields.map_err(|why| fault("data", why))?, files })
        }
        (Some(_), Some(_), _) => {
            return Err(OptionFault::new("`json` and `data` exclude each other: remove one"));
        }
        (Some(_), None, Some(_)) => {
            return Err(OptionFault::new("`json` and `files` exclude each other: write other fields as `data`"));
        }
    })
}

impl CallBody {
    /// Returns the body to send; checks the permission to read the files.
    pub(super) fn resolve(self, function: &str) -> Result<RequestBody, Thrown> {
        let (fields, files) = match self {
            Self::Ready(body) => return Ok(body),
            Self::Form { fields, files } => (fields, files),
        };
        let field = |(name, text): (String, String)| Part {
            name,
            file_name: None,
            content_type: None,
            headers: Vec::new(),
            content: Content::Bytes(text.into()),
        };
        let mut parts: Vec<_> = fields.into_iter().map(field).collect();
        for file in files {
            let (content, name) = match file.content {
                FileContent::Bytes(bytes) => (Content::Bytes(bytes), file.name.or_else(|| Some(file.field.clone()))),
                FileContent::Path(path) => {
                    let file_path = readable(function, &path);
                    let file_path = file_path.map_err(|why| with_prefix(&format!("files: {}", file.field), why))?;
                    (Content::File(file_path), file.name)
                }
            };
            let (content_type, headers) = (file.content_type, file.headers);
            parts.push(Part { name: file.field, file_name: name, content_type, headers, content });
        }
        Ok(RequestBody::Multipart(Arc::new(parts)))
    }
}

fn body(value: Value) -> Result<RequestBody, String> {
    match value {
        Value::Map(_) | Value::List(_) => {
            let form = encoded(&pairs(value, true)?);
            Ok(RequestBody::Bytes(form.into(), Some("application/x-www-form-urlencoded")))
        }
        Value::Text(_) | Value::Bytes(_) => Ok(RequestBody::Bytes(bytes(value).into(), None)),
        other => Err(format!("write a map (sent as a form), text or a blob, not {}", other.type_name())),
    }
}

fn files(value: Value) -> Result<Vec<FormFile>, String> {
    let mut files = Vec::new();
    for (field, value) in named(value)? {
        let items = match value {
            // Ambiguous: three strings could be three paths or a name, the content and a type.
            Value::List(items) if items.iter().any(|item| matches!(item, Value::Text(_))) => {
                return Err(format!(
                    "{field}: write each file of a list as #{{ path }} or #{{ filename, content, content_type }}"
                ));
            }
            Value::List(items) => items,
            single => vec![single],
        };
        for item in items {
            files.push(file(&field, item).map_err(|why| format!("{field}: {why}"))?);
        }
    }
    Ok(files)
}

fn file(field: &str, value: Value) -> Result<FormFile, String> {
    let mut options = match value {
        Value::Map(map) => Options::new(map),
        Value::Text(_) => Options::new([("path".to_owned(), value)].into()),
        Value::Bytes(_) => Options::new([("content".to_owned(), value)].into()),
        other => return Err(format!("write a path, a blob or a map with one of them, not {}", other.type_name())),
    };
    let message = |fault: OptionFault| fault.message;
    let path = options.text("path").map_err(message)?;
    let content = options.read("content", |value| match value {
        Value::Text(_) | Value::Bytes(_) => Ok(bytes(value)),
        other => Err(format!("write text or a blob, not {}", other.type_name())),
    });
    let content = match (path, content.map_err(message)?) {
        (Some(path), None) => FileContent::Path(path),
        (None, Some(content)) => FileContent::Bytes(content.into()),
        _ => return Err("write either `path` or `content`".to_owned()),
    };
    let file = FormFile {
        field: field.to_owned(),
        content,
        name: options.text("filename").map_err(message)?,
        content_type: options.text("content_type").map_err(message)?,
        headers: options.read("headers", |value| pairs(value, false)).map_err(message)?.unwrap_or_default(),
    };
    options.finish().map_err(message)?;
    Ok(file)
}
