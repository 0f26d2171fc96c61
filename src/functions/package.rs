//! A group of script functions.

/// A group of script functions with one theme, one section of the reference.
pub struct Package {
    /// Name in the reference, such as `HTTP`.
    pub name: &'static str,
    /// Purpose, in one sentence.
    pub docs: &'static str,
    /// Registers the functions in a module that every engine shares, with doc comments and parameter names as metadata.
    pub register: fn(&mut rhai::Module),
}
