//! URL patterns of tests.

use globset::{GlobBuilder, GlobMatcher};

/// Returns a matcher for URLs, in which `*` matches any text.
///
/// # Errors
/// A sentence, if the pattern is invalid.
pub fn url_matcher(url: &str) -> Result<GlobMatcher, String> {
    // A `?` starts the query and is not a wildcard.
    let pattern = url.replace('?', "[?]");
    let glob = GlobBuilder::new(&pattern).literal_separator(false).backslash_escape(false).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| format!("{url}: {error}"))
}
