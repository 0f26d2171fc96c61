//! Comments that allow findings: `// rhaid: allow(CODE)` for a line, `// rhaid: allow-file(CODE)` for a file.

use crate::fault::SourceLocation;
use crate::script::files::Files;

/// A lint that a comment allows, and where.
pub(super) struct Allowed {
    pub location: SourceLocation,
    pub code: String,
    is_for_file: bool,
}

impl Allowed {
    /// Reads the comments in a script's own file.
    pub(super) fn of(files: &Files) -> Vec<Self> {
        let Some((file, text)) = files.0.first() else { return Vec::new() };
        let mut allowed = Vec::new();
        for (index, line) in text.lines().enumerate() {
            for (mark, is_for_file) in [("// rhaid: allow(", false), ("// rhaid: allow-file(", true)] {
                let Some(start) = line.find(mark) else { continue };
                let codes = line[start + mark.len()..].split(')').next().unwrap_or_default();
                let column = line[..start].chars().count() + 1;
                // A comment on its own line applies to the next line.
                let number = index + 1 + usize::from(line[..start].trim().is_empty());
                allowed.extend(codes.split(',').map(|code| Self {
                    location: SourceLocation { file: file.clone(), line: number, column },
                    code: code.trim().to_owned(),
                    is_for_file,
                }));
            }
        }
        allowed
    }

    /// Returns whether the comment allows a finding at a location.
    pub(super) fn covers(&self, code: &str, location: &SourceLocation) -> bool {
        self.code == code
            && self.location.file == location.file
            && (self.is_for_file || self.location.line == location.line)
    }
}
