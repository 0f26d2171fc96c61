//! Script and configuration errors with their source location.

use std::fmt;

/// A location in a script or config file. Lines and columns start at 1. Columns count characters, not bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceLocation {
    /// The file, relative to the scripts folder (or `rhaid.yaml`).
    pub file: String,
    /// The line, or 0 for the whole file.
    pub line: usize,
    /// The column, or 0 for the whole line.
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

/// One frame of the call stack of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackFrame {
    /// The function's name, or `closure`.
    pub function: String,
    /// The location of the call.
    pub location: SourceLocation,
}

/// An error of a script or config file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fault {
    /// The location.
    pub location: SourceLocation,
    /// The message: lower case, no full stop.
    pub text: String,
    /// The value of `err.kind` in scripts: `timeout`, `connect`, `denied`, …, or `script` for a mistake in the script itself.
    pub kind: String,
    /// The code for `rhaid explain`, if there is one.
    pub code: Option<&'static str>,
    /// The source line at [`Fault::location`], if available.
    pub source_line: Option<String>,
    /// The suggested correction.
    pub hint: Option<String>,
    /// The call stack, innermost frame first.
    pub calls: Vec<StackFrame>,
}

impl Fault {
    /// Returns a fault of kind `script` at a location.
    pub fn new(location: SourceLocation, text: impl Into<String>) -> Self {
        Self { location, text: text.into(), kind: "script".into(), ..Self::default() }
    }

    /// Sets the suggested correction.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the code, unless it is already set.
    #[must_use]
    pub fn with_code(mut self, code: &'static str) -> Self {
        self.code.get_or_insert(code);
        self
    }

    /// Returns the full report: location and message, the source line with a caret under the column, the hint and the call stack.
    pub fn report(&self) -> String {
        let mut report = self.to_string();
        if let Some(line) = &self.source_line {
            let number = self.location.line.to_string();
            let gutter = " ".repeat(number.len());
            report.push_str(&format!("\n{gutter} |\n{number} | {line}"));
            if self.location.column > 0 {
                // Tabs are kept, so that the caret is under its character in any terminal.
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

/// Returns the reports of faults, separated by empty lines.
pub fn reports(faults: &[Fault]) -> String {
    faults.iter().map(Fault::report).collect::<Vec<_>>().join("\n\n")
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
