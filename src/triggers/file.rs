//! `watch_file`: when a changed file has settled.

use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use crate::config::Need;
use crate::event::Event;
use crate::options::{OptionFault, Options};
use crate::services::Services;
use crate::services::files::ChangeKind;
use crate::triggers::event_sender::EventSender;
use crate::triggers::kind::{Kind, TryOption, one_argument, with_data};
use crate::triggers::trigger::{Trigger, TriggerContext};
use crate::triggers::watch::Watch;
use crate::value::{Map, Value, map_of};

/// `watch_file(glob, …)`.
pub const KIND: Kind = Kind {
    name: "watch_file",
    arguments: &["glob"],
    event: "`change`: `path`, `kind`, `text()`, `bytes()`",
    docs: include_str!("watch_file.md"),
    read,
    try_option: Some(TryOption {
        name: "change",
        value_name: Some("PATH"),
        help: "A file changes",
        read: |value, data| Ok(with_data([("path", value)], data)),
    }),
};

fn read(
    arguments: Vec<Value>,
    _: &mut Options,
    trigger_context: &TriggerContext,
) -> Result<Box<dyn Trigger>, OptionFault> {
    let what = "a glob such as \"inbox/*.csv\"";
    let written = match one_argument(arguments, what)? {
        Value::Text(written) if !written.trim().is_empty() => written,
        Value::Text(_) => return Err(OptionFault::new(format!("glob: write {what}, not empty text"))),
        other => return Err(OptionFault::new(format!("glob: write {what}, not {}", other.type_name()))),
    };
    let (folder, glob) = split(&written, &trigger_context.base);
    let files = GlobBuilder::new(&glob)
        .literal_separator(true)
        .build()
        .map_err(|why| OptionFault::new(format!("glob: \"{written}\": {}", why.kind())))?
        .compile_matcher();
    Ok(Box::new(FileTrigger { written, base: trigger_context.base.clone(), folder, files }))
}

/// Splits a glob into its constant folder and the rest.
fn split(written: &str, base: &Path) -> (PathBuf, String) {
    let mut folder = base.to_owned();
    let parts: Vec<_> = written.split('/').collect();
    let fixed = parts[..parts.len() - 1].iter().take_while(|part| !part.contains(['*', '?', '[', '{', '\\'])).count();
    if fixed > 0 && parts[0].is_empty() {
        folder = PathBuf::from("/");
    }
    for part in &parts[..fixed] {
        match *part {
            "" | "." => {}
            ".." => {
                folder.pop();
            }
            part => folder.push(part),
        }
    }
    (folder, parts[fixed..].join("/"))
}

struct FileTrigger {
    written: String,
    /// Base folder of relative paths.
    base: PathBuf,
    folder: PathBuf,
    /// Matches paths relative to the folder.
    files: GlobMatcher,
}

impl Trigger for FileTrigger {
    fn summary(&self) -> String {
        format!("watch_file {}", self.written)
    }

    fn watch(&self, sender: EventSender, services: &Services) -> Watch {
        let (folder, files) = (self.folder.clone(), self.files.clone());
        let mut folder_watch = services.files.watch(&self.folder, |_| false);
        let (clock, kind) = (services.clock.clone(), self.summary());
        Watch::spawn(async move {
            while let Some(changes) = folder_watch.changes.recv().await {
                for change in changes {
                    let Ok(below) = change.path.strip_prefix(&folder) else { continue };
                    if !files.is_match(below) {
                        continue;
                    }
                    let word = word(change.kind);
                    let payload = payload(&change.path, word);
                    let summary = format!("{kind}: {} {word}", below.display());
                    sender.tell(Event::new(clock.now(), summary, payload));
                }
            }
        })
    }

    fn example(&self, given: &Map, _: &Services) -> Map {
        let path = given.get("path").and_then(Value::as_text);
        payload(&self.base.join(path.unwrap_or(&self.written)), word(ChangeKind::Modified))
    }

    fn matches(&self, given: &Map) -> bool {
        let Some(path) = given.get("path").and_then(Value::as_text) else { return true };
        let whole = self.base.join(path);
        whole.strip_prefix(&self.folder).is_ok_and(|below| self.files.is_match(below))
    }

    fn needs(&self) -> Vec<Need<'_>> {
        vec![Need::Read(&self.folder)]
    }
}

fn payload(path: &Path, kind: &str) -> Map {
    map_of([("path".into(), path.to_string_lossy().as_ref().into()), ("kind".into(), kind.into())])
}

fn word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Created => "created",
        ChangeKind::Modified => "modified",
        ChangeKind::Removed => "removed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(glob: &str) -> (String, String) {
        let (folder, rest) = split(glob, Path::new("/home/rhaid"));
        (folder.display().to_string(), rest)
    }

    #[test]
    fn the_folder_is_the_constant_part_of_the_glob() {
        for (glob, folder, rest) in [
            ("inbox/*.csv", "/home/rhaid/inbox", "*.csv"),
            ("inbox/2026/**/a.txt", "/home/rhaid/inbox/2026", "**/a.txt"),
            ("notes.txt", "/home/rhaid", "notes.txt"),
            ("*", "/home/rhaid", "*"),
            ("./a/./b", "/home/rhaid/a", "b"),
            ("../shared/x", "/home/shared", "x"),
            ("/var/log/{a,b}/*.log", "/var/log", "{a,b}/*.log"),
            ("/x", "/", "x"),
        ] {
            assert_eq!(place(glob), (folder.to_owned(), rest.to_owned()), "{glob}");
        }
    }

    #[test]
    fn a_star_stays_in_its_folder() {
        let trigger_context = TriggerContext {
            zone: jiff::tz::TimeZone::UTC,
            location: None,
            brokers: std::sync::Arc::default(),
            base: PathBuf::from("/home/rhaid"),
        };
        let read = |glob: &str| read(vec![glob.into()], &mut Options::default(), &trigger_context);
        let trigger = read("inbox/*.csv").ok().unwrap();
        assert_eq!(trigger.needs(), [Need::Read(std::path::Path::new("/home/rhaid/inbox"))]);
        assert_eq!(trigger.summary(), "watch_file inbox/*.csv");
        let glob = GlobBuilder::new("*.csv").literal_separator(true).build().unwrap().compile_matcher();
        assert!(glob.is_match("a.csv") && !glob.is_match("b/a.csv"));
        let fault = read("inbox/[a").err().unwrap();
        assert!(fault.message.starts_with("glob: \"inbox/[a\": "), "{fault}");
    }
}
