//! Why a script could not go on, shown where it happened.

use std::fmt;

/// A place in a script or config file. Lines and columns count from 1; a column is a character, not a byte.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceLocation {
    /// The file, relative to the scripts folder (or `rhaid.yaml`).
    pub file: String,
    /// The line; 0 if the whole file is meant.
    pub line: usize,
    /// The column; 0 if the whole line is meant.
    pub column: usize,
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        Ok(())
    }
}

/// One step of the chain of calls that led to a fault, innermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackFrame {
    /// The function's name, or `closure`.
    pub function: String,
    /// Where it was called.
    pub location: SourceLocation,
}

/// Why a script could not go on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fault {
    /// Where.
    pub location: SourceLocation,
    /// What went wrong: lower case, no full stop.
    pub text: String,
    /// The word that scripts see as `err.kind`: `timeout`, `connect`, `denied`, …; `script` for a mistake in the script itself.
    pub kind: String,
    /// What `rhaid explain` explains, if it is a sort of fault that it knows.
    pub code: Option<&'static str>,
    /// The source line at [`Fault::location`], if it is known.
    pub source_line: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// The chain of calls, innermost first.
    pub calls: Vec<StackFrame>,
}

impl Fault {
    /// Returns a fault of kind `script` at a place.
    pub fn new(location: SourceLocation, text: impl Into<String>) -> Self {
        Self { location, text: text.into(), kind: "script".into(), ..Self::default() }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what sort of fault it is, if that is not known already.
    #[must_use]
    pub fn with_code(mut self, code: &'static str) -> Self {
        self.code.get_or_insert(code);
        self
    }

    /// Returns the whole report: place and text, the source line with a caret under the column, the hint and the chain of calls.
    pub fn report(&self) -> String {
        let mut report = self.to_string();
        if let Some(line) = &self.source_line {
            let number = self.location.line.to_string();
            let gutter = " ".repeat(number.len());
            report.push_str(&format!("\n{gutter} |\n{number} | {line}"));
            if self.location.column > 0 {
                // Tabs stay tabs, so that the caret stands under its character in any terminal.
                let indent: String =
                    line.chars().take(self.location.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
                report.push_str(&format!("\n{gutter} | {indent}^"));
            }
        }
        if let Some(hint) = &self.hint {
            report.push_str(&format!("\nhelp: {hint}"));
        }
        for call in &self.calls {
            report.push_str(&format!("\n  in {} called at {}", call.function, call.location));
        }
        report
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.location, self.text)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_points_at_the_column() {
        let mut fault =
            Fault::new(SourceLocation { file: "door.rhai".into(), line: 3, column: 5 }, "unknown function `http_gett`")
                .with_hint("did you mean `http_get`?");
        fault.source_line = Some("    http_gett(url);".into());
        assert_eq!(
            fault.report(),
            "door.rhai:3:5: unknown function `http_gett`\n  |\n3 |     http_gett(url);\n  |     ^\nhelp: did you mean `http_get`?"
        );
    }
}
