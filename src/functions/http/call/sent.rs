//! What a script sends: JSON, a form, files, text or a blob.

use std::sync::Arc;

use bytes::Bytes;

use crate::functions::Thrown;
use crate::functions::arguments::bytes;
use crate::functions::http::call::pairs::{Pairs, encoded, named, pairs};
use crate::functions::http::fault::of_option;
use crate::functions::outside::readable;
use crate::options::{OptionFault, Options};
use crate::services::http::{Content, Part, RequestBody};
use crate::value::Value;

/// What a script sends.
#[derive(Debug, Clone)]
pub(super) enum Sent {
    /// What is ready to go.
    Ready(RequestBody),
    /// A form with files, whose paths have yet to be looked at.
    Form { fields: Pairs, files: Vec<File> },
}

/// A file of a form.
#[derive(Debug, Clone)]
pub(super) struct File {
    field: String,
    holds: FileContent,
    name: Option<String>,
    content_type: Option<String>,
    headers: Pairs,
}

#[derive(Debug, Clone)]
enum FileContent {
    Bytes(Bytes),
    Path(String),
}

/// Takes `json`, `data` and `files`.
pub(super) fn read(options: &mut Options) -> Result<Option<Sent>, OptionFault> {
    let json = options.take("json").map(|value| value.to_json().to_string());
    let data = options.take("data");
    let files = options.read("files", files)?;
    let fault = |name: &str, why| OptionFault { option: Some(name.into()), message: format!("{name}: {why}") };
    Ok(match (json, data, files) {
        (None, None, None) => None,
        (Some(json), None, None) => Some(Sent::Ready(RequestBody::Bytes(json.into(), Some("application/json")))),
        (None, Some(data), None) => Some(Sent::Ready(whole(data).map_err(|why| fault("data", why))?)),
        (None, data, Some(files)) => {
            let fields = data.map_or_else(|| Ok(Pairs::new()), |data| pairs(data, true));
            Some(Sent::Form { fields: fields.map_err(|why| fault("data", why))?, files })
        }
        (Some(_), Some(_), _) => {
            return Err(OptionFault::new("`json` and `data` are two ways to say what is sent: write one"));
        }
        (Some(_), None, Some(_)) => {
            return Err(OptionFault::new("`json` does not go with `files`: write further fields as `data`"));
        }
    })
}

impl Sent {
    /// Returns what goes out, after a look at the script's permission to read the files.
    pub(super) fn ready(self, asking: &str) -> Result<RequestBody, Thrown> {
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
            let (content, name) = match file.holds {
                FileContent::Bytes(bytes) => (Content::Bytes(bytes), file.name.or_else(|| Some(file.field.clone()))),
                FileContent::Path(path) => {
                    let found = readable(asking, &path);
                    let found = found.map_err(|why| of_option(&format!("files: {}", file.field), why))?;
                    (Content::File(found), file.name)
                }
            };
            let (content_type, headers) = (file.content_type, file.headers);
            parts.push(Part { name: file.field, file_name: name, content_type, headers, content });
        }
        Ok(RequestBody::Multipart(Arc::new(parts)))
    }
}

fn whole(value: Value) -> Result<RequestBody, String> {
    match value {
        Value::Map(_) | Value::List(_) => {
            let form = encoded(&pairs(value, true)?);
            Ok(RequestBody::Bytes(form.into(), Some("application/x-www-form-urlencoded")))
        }
        Value::Text(_) | Value::Bytes(_) => Ok(RequestBody::Bytes(bytes(value).into(), None)),
        other => Err(format!("write a map (sent as a form), text or a blob, not {}", other.type_name())),
    }
}

fn files(value: Value) -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    for (field, value) in named(value)? {
        let items = match value {
            // Of three texts nobody knows whether they are three paths or a name, a content and a type.
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

fn file(field: &str, value: Value) -> Result<File, String> {
    let mut options = match value {
        Value::Map(map) => Options::new(map),
        Value::Text(_) => Options::new([("path".to_owned(), value)].into()),
        Value::Bytes(_) => Options::new([("content".to_owned(), value)].into()),
        other => return Err(format!("write a path, a blob or a map with one of them, not {}", other.type_name())),
    };
    let say = |fault: OptionFault| fault.message;
    let path = options.text("path").map_err(say)?;
    let content = options.read("content", |value| match value {
        Value::Text(_) | Value::Bytes(_) => Ok(bytes(value)),
        other => Err(format!("write text or a blob, not {}", other.type_name())),
    });
    let holds = match (path, content.map_err(say)?) {
        (Some(path), None) => FileContent::Path(path),
        (None, Some(content)) => FileContent::Bytes(content.into()),
        _ => return Err("write either `path` or `content`".to_owned()),
    };
    let file = File {
        field: field.to_owned(),
        holds,
        name: options.text("filename").map_err(say)?,
        content_type: options.text("content_type").map_err(say)?,
        headers: options.read("headers", |value| pairs(value, false)).map_err(say)?.unwrap_or_default(),
    };
    options.finish().map_err(say)?;
    Ok(file)
}
