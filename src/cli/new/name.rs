//! The name of a script that is to be written.

use std::path::{Path, PathBuf};

/// A name under which a script can live, such as `porch` or `garden/pump`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    /// Reads a name as people write it, with or without `.rhai` at its end.
    ///
    /// # Errors
    /// Why no script can be called so, and what to write.
    pub(super) fn read(written: &str, scripts: &Path) -> Result<Self, String> {
        let name = written.strip_suffix(".rhai").unwrap_or(written);
        let name = name.strip_prefix("./").unwrap_or(name);
        let refused = |why: &str| {
            let better = proposed(name);
            let hint =
                if better.is_empty() { "a name such as porch or garden/pump".into() } else { format!("`{better}`") };
            Err(format!("`{written}` is no name for a script: {why}; write {hint}"))
        };
        let first = name.split('/').next();
        if name.contains('/') && first == scripts.file_name().and_then(|folder| folder.to_str()) {
            let below = &name[first.map_or(0, str::len) + 1..];
            return Err(format!("names are counted from the scripts folder, {}: write `{below}`", scripts.display()));
        }
        if Path::new(name).is_absolute() || name.contains('\\') {
            return refused("it is counted from the scripts folder, with `/` between folders");
        }
        if name.split('/').any(|part| part == "..") {
            return refused("it leads out of the scripts folder");
        }
        if name.split('/').any(str::is_empty) {
            return refused("a part of it is empty");
        }
        if name.split('/').any(|part| part.starts_with(['_', '.'])) {
            return refused("files and folders that begin with `_` or `.` are not brought to life");
        }
        if name.ends_with("_test") {
            return refused("what ends with `_test` is the test of a script, which is written along with it");
        }
        match name.chars().find(|c| !is_fit(*c) && *c != '/') {
            Some(c) => refused(&format!("{c:?} is neither a letter nor a digit, `-` or `_`")),
            None => Ok(Self(name.to_owned())),
        }
    }

    /// Returns the script's file.
    pub(super) fn script(&self, scripts: &Path) -> PathBuf {
        scripts.join(format!("{}.rhai", self.0))
    }

    /// Returns the file of its test.
    pub(super) fn test(&self, scripts: &Path) -> PathBuf {
        scripts.join(format!("{}_test.rhai", self.0))
    }

    /// Returns a template's text with the name in its places.
    pub(super) fn put_into(&self, text: &str) -> String {
        text.replace("@name@", &self.0)
    }
}

fn is_fit(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_')
}

/// Returns the nearest name that is fine; empty if nothing is left.
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
    fn a_good_name_is_taken_with_and_without_its_ending() {
        for (written, name) in
            [("porch", "porch"), ("garden/pump.rhai", "garden/pump"), ("./a-b_2", "a-b_2"), ("gård", "gård")]
        {
            assert_eq!(Name::read(written, Path::new("/house/scripts")), Ok(Name(name.into())));
        }
    }

    #[test]
    fn a_bad_name_is_refused_with_a_better_one() {
        for (written, words) in [
            (
                "my porch",
                "`my porch` is no name for a script: ' ' is neither a letter nor a digit, `-` or `_`; write `my-porch`",
            ),
            ("../porch", "leads out of the scripts folder; write `porch`"),
            ("/etc/porch", "counted from the scripts folder, with `/` between folders; write `etc/porch`"),
            ("garden\\pump", "write `garden/pump`"),
            ("_lib/porch", "begin with `_` or `.` are not brought to life; write `lib/porch`"),
            ("garden/.porch", "write `garden/porch`"),
            ("porch_test", "written along with it; write `porch`"),
            ("porch_test.rhai", "write `porch`"),
            ("a//b", "a part of it is empty; write `a/b`"),
            ("", "write a name such as porch"),
            (".rhai", "write a name such as porch"),
            ("a+{b}", "write `a--b`"),
            ("scripts/porch.rhai", "names are counted from the scripts folder, /house/scripts: write `porch`"),
        ] {
            let why = Name::read(written, Path::new("/house/scripts")).unwrap_err();
            assert!(why.contains(words), "{written}: {why}");
        }
    }
}
