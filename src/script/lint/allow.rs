//! Comments that allow what a lint finds: `// rhaid: allow(CODE)` for a line, `// rhaid: allow-file(CODE)` for a file.

use super::{Find, Found, LINTS, Lint, Look};
use crate::fault::SourceLocation;
use crate::options::nearest;
use crate::script::files::Files;

pub(super) const LINT: Lint =
    Lint { code: "unknown-lint", docs: include_str!("docs/unknown-lint.md"), find: Find::Each(find) };

/// What one comment allows.
pub(super) struct Allowed {
    place: SourceLocation,
    code: String,
    is_for_file: bool,
}

impl Allowed {
    /// Reads the comments of a script's own file.
    pub(super) fn of(files: &Files) -> Vec<Self> {
        let Some((file, text)) = files.0.first() else { return Vec::new() };
        let mut allowed = Vec::new();
        for (index, line) in text.lines().enumerate() {
            for (mark, is_for_file) in [("// rhaid: allow(", false), ("// rhaid: allow-file(", true)] {
                let Some(start) = line.find(mark) else { continue };
                let codes = line[start + mark.len()..].split(')').next().unwrap_or_default();
                let column = line[..start].chars().count() + 1;
                // A comment on a line of its own is about the next.
                let number = index + 1 + usize::from(line[..start].trim().is_empty());
                allowed.extend(codes.split(',').map(|code| Self {
                    place: SourceLocation { file: file.clone(), line: number, column },
                    code: code.trim().to_owned(),
                    is_for_file,
                }));
            }
        }
        allowed
    }

    /// Returns whether this allows what a lint finds at a place.
    pub(super) fn covers(&self, code: &str, place: &SourceLocation) -> bool {
        self.code == code && self.place.file == place.file && (self.is_for_file || self.place.line == place.line)
    }
}

fn find(look: &Look<'_>, found: &mut Found<'_>) {
    for allowed in Allowed::of(look.files) {
        if LINTS.iter().any(|lint| lint.code == allowed.code) {
            continue;
        }
        let near = nearest(&allowed.code, LINTS.iter().map(|lint| lint.code));
        let hint =
            near.map_or_else(|| "`rhaid explain` lists them".to_owned(), |near| format!("did you mean `{near}`?"));
        let position =
            rhai::Position::new(allowed.place.line.min(65_535) as u16, allowed.place.column.min(65_535) as u16);
        found.put(look, position, format!("there is no lint `{}` to allow", allowed.code), hint);
    }
}
