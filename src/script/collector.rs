//! Collects the triggers that a script declares while its top level runs.

use std::sync::Arc;

use rhai::{Dynamic, FnPtr, Position};

use super::call_positions::{ArgumentPositions, CallPositions};
use super::codes;
use super::files::Files;
use super::kinds::usage;
use super::model::Declaration;
use crate::config::{Config, Denied};
use crate::fault::Fault;
use crate::functions::convert;
use crate::options::OptionFault;
use crate::triggers::{self, Kind, TriggerContext};
use crate::value::{Map, Value};

/// The triggers that the top level of one script has declared.
pub(super) struct Collector {
    pub files: Files,
    pub script: Arc<str>,
    pub config: Arc<Config>,
    pub trigger_context: TriggerContext,
    /// The calls in the script's own file, by which faults point at arguments.
    pub calls: CallPositions,
    /// The nesting depth of module top levels that are running.
    pub module_depth: usize,
    pub declarations: Vec<Declaration>,
    pub handlers: Vec<FnPtr>,
    pub faults: Vec<Fault>,
}

/// One call that declares a trigger.
pub(super) struct DeclaringCall<'c> {
    pub kind: &'static Kind,
    pub file: &'c str,
    pub position: Position,
}

/// The arguments of such a call.
struct TriggerArguments {
    arguments: Vec<Value>,
    options: Map,
    handler: FnPtr,
}

impl TriggerArguments {
    /// Splits the arguments of a call.
    ///
    /// # Errors
    /// A message if their number or types are wrong.
    fn read(kind: &Kind, mut given: Vec<Dynamic>) -> Result<Self, String> {
        let count = kind.arguments.len();
        let handler = given.pop().and_then(Dynamic::try_cast::<FnPtr>);
        let handler = handler.ok_or("the last argument must be the handler")?;
        if given.len() < count || given.len() > count + 1 {
            return Err(format!("`{}` has {} arguments before the handler", kind.name, given.len()));
        }
        let options = match given.drain(count..).next().map(|options| convert::to_value(&options)) {
            None => Map::new(),
            Some(Ok(Value::Map(options))) => options,
            Some(Ok(other)) => return Err(format!("the options must be a map, not {}", other.type_name())),
            Some(Err(why)) => return Err(format!("the options must be plain data, but {why}")),
        };
        let arguments: Result<Vec<_>, _> = given.iter().map(convert::to_value).collect();
        let arguments = arguments.map_err(|why| format!("the arguments must be plain data, but {why}"))?;
        Ok(Self { arguments, options, handler })
    }
}

impl Collector {
    /// Records one declaration.
    ///
    /// # Errors
    /// A fault if the declaration is invalid or not permitted.
    pub(super) fn declare(&mut self, call: &DeclaringCall<'_>, given: Vec<Dynamic>) -> Result<(), Box<Fault>> {
        let TriggerArguments { arguments, options, mut handler } = TriggerArguments::read(call.kind, given)
            .map_err(|why| self.fault(call, &format!("{why}: write {}", usage(call.kind))))?;
        let declared = triggers::read(call.kind, arguments, options, &self.trigger_context)
            .map_err(|fault| self.option_fault(call, fault))?;
        for need in declared.trigger.needs() {
            self.config.permissions.check(&self.script, need).map_err(|denied| self.permission_fault(call, denied))?;
        }
        let mut policy = declared.policy;
        policy.name = Some(self.unique_name(policy.name.take(), &declared.trigger.summary(), call)?);
        self.declarations.push(Declaration {
            trigger: declared.trigger,
            kind: call.kind.name,
            identity: declared.identity,
            policy,
            location: self.files.location(call.file, call.position),
            handler: self.handlers.len(),
        });
        // Captured values are shared with the top level, which may still change them.
        let captured: Vec<_> = handler.curry().iter().map(Dynamic::flatten_clone).collect();
        handler.set_curry(captured);
        self.handlers.push(handler);
        Ok(())
    }

    fn fault(&self, call: &DeclaringCall<'_>, text: &str) -> Fault {
        self.files.fault(call.file, call.position, text)
    }

    /// Returns the argument positions of a call in the script's own file.
    fn arguments(&self, call: &DeclaringCall<'_>) -> Option<&ArgumentPositions> {
        (call.file == self.files.own()).then(|| self.calls.at(call.position)).flatten()
    }

    /// Returns a fault at the invalid option or argument.
    fn option_fault(&self, call: &DeclaringCall<'_>, fault: OptionFault) -> Fault {
        let place = self.arguments(call).and_then(|arguments| match &fault.option {
            Some(option) => {
                let argument = call.kind.arguments.iter().position(|name| name == option);
                arguments.key(option).or_else(|| arguments.start(argument?))
            }
            None => arguments.start(0).filter(|_| !call.kind.arguments.is_empty()),
        });
        self.files.fault(call.file, place.unwrap_or(call.position), fault.message)
    }

    fn permission_fault(&self, call: &DeclaringCall<'_>, denied: Denied) -> Fault {
        let place = self.arguments(call).and_then(|arguments| arguments.start(0)).unwrap_or(call.position);
        let mut fault = self.files.fault(call.file, place, denied.message).with_hint(denied.hint);
        fault.kind = "denied".into();
        fault.with_code(codes::DENIED.code)
    }

    /// Returns the given name, or a unique name made from the trigger's summary.
    fn unique_name(
        &self,
        given: Option<String>,
        summary: &str,
        call: &DeclaringCall<'_>,
    ) -> Result<String, Box<Fault>> {
        let taken = |name: &str| self.declarations.iter().any(|other| other.policy.name.as_deref() == Some(name));
        if let Some(name) = given {
            if !taken(&name) {
                return Ok(name);
            }
            let place = self.arguments(call).and_then(|arguments| arguments.key("name")).unwrap_or(call.position);
            let text = format!("another trigger of this script is named `{name}`");
            return Err(self.files.fault(call.file, place, text).into());
        }
        if !taken(summary) {
            return Ok(summary.to_owned());
        }
        let numbered = (2..).map(|number| format!("{summary} #{number}")).find(|name| !taken(name));
        Ok(numbered.expect("there are more numbers than triggers"))
    }
}
