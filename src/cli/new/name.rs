//! The name of a new script.

use std::path::{Path, PathBuf};

/// A valid name of a script, such as `porch` or `garden/pump`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    /// Parses a name, with or without `.rhai` at its end.
    ///
    /// # Errors
    /// If the name is invalid; the message proposes a valid one.
    pub(super) fn read(written: &str, scripts: &Path) -> Result<Self, String> {
        let name = written.strip_suffix(".rhai").unwrap_or(written);
        let name = name.strip_prefix("./").unwrap_or(name);
        let refused = |why: &str| {
            let better = proposed(name);
            let hint =
                if better.is_empty() { "a name such as porch or garden/pump".into() } else { format!("`{better}`") };
            Err(format!("`{written}` is not a valid script name: {why}; write {hint}"))
        };
        let first = name.split('/').next();
        if name.contains('/') && first == scripts.file_name().and_then(|folder| folder.to_str()) {
            let below = &name[first.map_or(0, str::len) + 1..];
            return Err(format!("names are relative to the scripts folder, {}: write `{below}`", scripts.display()));
        }
        if Path::new(name).is_absolute() || name.contains('\\') {
            return refused("names are relative to the scripts folder, with `/` between folders");
        }
        if name.split('/').any(|part| part == "..") {
            return refused("it leads out of the scripts folder");
        }
        if name.split('/').any(str::is_empty) {
            return refused("a part of it is empty");
        }
        if name.split('/').any(|part| part.starts_with(['_', '.'])) {
            return refused("files and folders that begin with `_` or `.` are not loaded as scripts");
        }
        if name.ends_with("_test") {
            return refused("names that end with `_test` are tests, which are created together with the script");
        }
        match name.chars().find(|c| !is_fit(*c) && *c != '/') {
            Some(c) => refused(&format!("{c:?} is neither a letter nor a digit, `-` or `_`")),
            None => Ok(Self(name.to_owned())),
        }
    }

    /// Returns the path of the script.
    pub(super) fn script(&self, scripts: &Path) -> PathBuf {
        scripts.join(format!("{}.rhai", self.0))
    }

    /// Returns the path of its test.
    pub(super) fn test(&self, scripts: &Path) -> PathBuf {
        scripts.join(format!("{}_test.rhai", self.0))
    }

    /// Returns a text in which `@name@` is replaced by the name.
    pub(super) fn put_into(&self, text: &str) -> String {
        text.replace("@name@", &self.0)
    }
}

fn is_fit(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_')
}

/// Returns a similar valid name, or an empty string if there is none.
fn proposed(name: &str) -> String {
    let parts = name.split(['/', '\\']).map(|part| {
        let fit: String = part.chars().map(|c| if is_fit(c) { c } else { '-' }).collect();
        fit.trim_start_matches(['_', '-']).trim_end_matches("_test").trim_end_matches('-').to_owned()
    });
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_name_is_accepted_with_and_without_extension() {
        for (written, name) in
            [("porch", "porch"), ("garden/pump.rhai", "garden/pump"), ("./a-b_2", "a-b_2"), ("gård", "gård")]
        {
            assert_eq!(Name::read(written, Path::new("/house/scripts")), Ok(Name(name.into())));
        }
    }

    #[test]
    fn an_invalid_name_is_refused_with_a_proposal() {
        for (written, words) in [
            (
                "my porch",
                "`my porch` is not a valid script name: ' ' is neither a letter nor a digit, `-` or `_`; write `my-porch`",
            ),
            ("../porch", "leads out of the scripts folder; write `porch`"),
            ("/etc/porch", "relative to the scripts folder, with `/` between folders; write `etc/porch`"),
            ("garden\\pump", "write `garden/pump`"),
            ("_lib/porch", "begin with `_` or `.` are not loaded as scripts; write `lib/porch`"),
            ("garden/.porch", "write `garden/porch`"),
            ("porch_test", "created together with the script; write `porch`"),
            ("porch_test.rhai", "write `porch`"),
            ("a//b", "a part of it is empty; write `a/b`"),
            ("", "write a name such as porch"),
            (".rhai", "write a name such as porch"),
            ("a+{b}", "write `a--b`"),
            ("scripts/porch.rhai", "names are relative to the scripts folder, /house/scripts: write `porch`"),
        ] {
            let why = Name::read(written, Path::new("/house/scripts")).unwrap_err();
            assert!(why.contains(words), "{written}: {why}");
        }
    }
}
