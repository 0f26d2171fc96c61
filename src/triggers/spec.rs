//! Triggers as scripts and `triggers:` declare them.

use sha2::{Digest as _, Sha256};

use super::kind::Kind;
use super::trigger::{Trigger, TriggerContext};
use crate::options::{OptionFault, Options};
use crate::run::Policy;
use crate::value::{Map, Value};

/// Declared trigger, parsed and checked.
pub struct TriggerSpec {
    /// The trigger.
    pub trigger: Box<dyn Trigger>,
    /// Its kind.
    pub kind: &'static Kind,
    /// Digest of kind, arguments and own options, and of the policy where it changes the watch. Equal for two triggers that watch the same
    /// thing in the same way. Reveals no secret.
    pub identity: String,
    /// Run policy of its events.
    pub policy: Policy,
}

/// Reads a trigger that a script or `triggers:` declares.
///
/// # Errors
/// If an argument or option is wrong or unknown.
pub fn read(
    kind: &'static Kind,
    arguments: Vec<Value>,
    options: Map,
    trigger_context: &TriggerContext,
) -> Result<TriggerSpec, OptionFault> {
    let mut options = Options::new(options);
    let policy = Policy::take(&mut options)?;
    let written = [Value::List(arguments.clone()).to_stored(), Value::Map(options.remaining()).to_stored()];
    let mut trigger = (kind.read)(arguments, &mut options, trigger_context)?;
    options.finish()?;
    let depends_on_policy = trigger.apply_policy(&policy);
    // A digest, because the options may contain secrets.
    let digest = Sha256::digest(format!("{written:?} {depends_on_policy}"));
    let identity = format!("{} {}", kind.name, hex::encode(digest));
    Ok(TriggerSpec { trigger, kind, identity, policy })
}
