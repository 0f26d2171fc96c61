//! Kinds of triggers: name, documentation, and how their arguments are read.

use super::trigger::{Trigger, TriggerContext};
use crate::options::{OptionFault, Options};
use crate::value::{Map, Value};

/// Kind of trigger.
pub struct Kind {
    /// Name in scripts and in `triggers:` of `rhaid.yaml`.
    pub name: &'static str,
    /// Names of the arguments before the options, such as `expression`.
    pub arguments: &'static [&'static str],
    /// Name and fields of the handler's argument, for the reference.
    pub event: &'static str,
    /// Documentation for script authors, with an `# Example` that is run as a test. Markdown.
    pub docs: &'static str,
    /// Reads the arguments and options. Options that all triggers share are taken already; the caller rejects options that are left.
    pub read: Read,
    /// Option of `rhaid try` that selects this kind.
    pub try_option: Option<TryOption>,
}

/// Reads the arguments and options of a kind.
pub type Read = fn(Vec<Value>, &mut Options, &TriggerContext) -> Result<Box<dyn Trigger>, OptionFault>;

/// Option of `rhaid try` that selects a kind and describes its event.
pub struct TryOption {
    /// Long name of the option, without dashes.
    pub name: &'static str,
    /// Placeholder of its value in the help text; `None` for a flag.
    pub value_name: Option<&'static str>,
    /// Line of the help text.
    pub help: &'static str,
    /// Returns the fields of the event from the option's value (empty for a flag) and the fields of `--data`, which take precedence.
    ///
    /// # Errors
    /// A sentence, if the value is malformed.
    pub read: fn(&str, Map) -> Result<Map, String>,
}

impl TryOption {
    /// Creates a flag: the event has only the fields of `--data`.
    pub(super) const fn flag(name: &'static str, help: &'static str) -> Self {
        Self { name, value_name: None, help, read: |_, data| Ok(data) }
    }
}

/// Returns the fields of `--data` together with others, over which they take precedence.
pub(super) fn with_data<const N: usize>(fields: [(&str, &str); N], data: Map) -> Map {
    let mut given: Map = fields.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    given.extend(data);
    given
}

/// Returns the only argument.
///
/// # Errors
/// If there is no argument, or more than one.
pub(super) fn one_argument(arguments: Vec<Value>, expected: &str) -> Result<Value, OptionFault> {
    let [argument] = <[Value; 1]>::try_from(arguments).map_err(|wrong| {
        OptionFault::new(format!("write {expected} and nothing else before the options, not {} values", wrong.len()))
    })?;
    Ok(argument)
}
