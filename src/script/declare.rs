//! The functions that declare triggers, and what they collect while a script's top level runs.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};

use rhai::{Dynamic, FnPtr, FuncRegistration, Module, NativeCallContext, Position, Shared};

use super::files::Files;
use super::shape::{Arguments, Calls};
use super::{Declaration, codes};
use crate::config::{Config, Denied};
use crate::fault::Fault;
use crate::functions::{Phase, Thrown, convert, phase, thrown};
use crate::options::OptionFault;
use crate::triggers::{self, KINDS, Kind, TriggerContext};
use crate::value::{Map, Value};

/// What the top level of one script has declared so far.
pub(super) struct Collector {
    pub files: Files,
    pub script: Arc<str>,
    pub config: Arc<Config>,
    pub trigger_context: TriggerContext,
    /// The calls of the script's own file, to point at their arguments.
    pub calls: Calls,
    /// How many modules' top levels are running inside each other.
    pub modules: usize,
    pub declared: Vec<Declaration>,
    pub handlers: Vec<FnPtr>,
    pub faults: Vec<Fault>,
}

thread_local! {
    static COLLECTOR: RefCell<Option<Collector>> = const { RefCell::new(None) };
}

/// Runs a script's top level; returns what it declared beside its value.
pub(super) fn collect<T>(collector: Collector, top_level: impl FnOnce() -> T) -> (T, Collector) {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            COLLECTOR.set(None);
        }
    }
    COLLECTOR.set(Some(collector));
    let leave = Leave;
    let value = top_level();
    let collected = COLLECTOR.take().expect("it was put there above, and nothing else takes it");
    drop(leave);
    (value, collected)
}

/// Runs a module's top level, which declares nothing.
pub(super) fn inside_module<T>(top_level: impl FnOnce() -> T) -> T {
    let count = |change: isize| {
        COLLECTOR.with_borrow_mut(|collector| {
            if let Some(collector) = collector {
                collector.modules = collector.modules.saturating_add_signed(change);
            }
        });
    };
    count(1);
    let value = top_level();
    count(-1);
    value
}

/// Returns every kind of trigger that a script can declare.
pub(super) fn kinds() -> impl Iterator<Item = &'static Kind> {
    #[cfg(test)]
    let more = super::tests::KINDS;
    #[cfg(not(test))]
    let more: &[&Kind] = &[];
    KINDS.iter().chain(more).copied()
}

/// Returns the functions that declare triggers, built once per process.
pub(super) fn module() -> Shared<Module> {
    static MODULE: LazyLock<Shared<Module>> = LazyLock::new(|| {
        let mut module = Module::new();
        for kind in kinds() {
            register(kind, &mut module);
        }
        module.build_index();
        module.into()
    });
    MODULE.clone()
}

/// Registers a kind for every number of arguments, so that a call of a wrong shape can be told what to write.
fn register(kind: &'static Kind, module: &mut Module) {
    let new = || FuncRegistration::new(kind.name).in_global_namespace();
    type Context<'c> = NativeCallContext<'c>;
    type D = Dynamic;
    new().set_into_module(module, move |c: Context<'_>| declare(kind, &c, vec![]));
    new().set_into_module(module, move |c: Context<'_>, a: D| declare(kind, &c, vec![a]));
    new().set_into_module(module, move |c: Context<'_>, a: D, b: D| declare(kind, &c, vec![a, b]));
    new().set_into_module(module, move |c: Context<'_>, a: D, b: D, d: D| declare(kind, &c, vec![a, b, d]));
    new().set_into_module(module, move |c: Context<'_>, a: D, b: D, d: D, e: D| declare(kind, &c, vec![a, b, d, e]));
    new().set_into_module(module, move |c: Context<'_>, a: D, b: D, d: D, e: D, f: D| {
        declare(kind, &c, vec![a, b, d, e, f])
    });
}

/// Returns how to write a declaration, such as `cron(expression, [options,] |tick| …)`.
pub(super) fn usage(kind: &Kind) -> String {
    let arguments: String = kind.arguments.iter().map(|argument| format!("{argument}, ")).collect();
    format!("{}({arguments}[#{{ options }},] |{}| …)", kind.name, argument(kind))
}

/// Returns the name of what the handler is given.
fn argument(kind: &Kind) -> &str {
    let name = kind.event.trim_start_matches('`');
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty()).unwrap_or("event")
}

fn declare(kind: &'static Kind, context: &NativeCallContext<'_>, arguments: Vec<Dynamic>) -> Result<(), Thrown> {
    let (file, position) = (context.call_source().unwrap_or_default(), context.call_position());
    COLLECTOR.with_borrow_mut(|collector| {
        let Some(collector) = collector else {
            let where_to = match phase() {
                Phase::Running(_) => "declare triggers at the top level of a script, not while it runs",
                _ => "a job declares no triggers: bind it in rhaid.yaml, under `triggers:`",
            };
            return Err(thrown("declaration", format!("`{}` can not be called here: {where_to}", kind.name)));
        };
        if collector.modules > 0 {
            let text = format!("a module declares no triggers: call `{}` in the script that imports it", kind.name);
            return Err(thrown("declaration", text));
        }
        if let Err(fault) = collector.take(&Site { kind, file, position }, arguments) {
            collector.faults.push(fault.with_code(codes::DECLARATION.code));
        }
        Ok(())
    })
}

/// One call that declares a trigger.
struct Site<'c> {
    kind: &'static Kind,
    file: &'c str,
    position: Position,
}

/// What such a call was given.
struct Given {
    arguments: Vec<Value>,
    options: Map,
    handler: FnPtr,
}

impl Given {
    /// Takes the arguments of a call apart.
    ///
    /// # Errors
    /// What is wrong with their number or sorts.
    fn read(kind: &Kind, mut given: Vec<Dynamic>) -> Result<Self, String> {
        let count = kind.arguments.len();
        let handler = given.pop().and_then(Dynamic::try_cast::<FnPtr>);
        let handler = handler.ok_or("the last argument is the handler")?;
        if given.len() < count || given.len() > count + 1 {
            return Err(format!("`{}` was given {} arguments before the handler", kind.name, given.len()));
        }
        let options = match given.drain(count..).next().map(|options| convert::to_value(&options)) {
            None => Map::new(),
            Some(Ok(Value::Map(options))) => options,
            Some(Ok(other)) => return Err(format!("the options are a map, not {}", other.type_name())),
            Some(Err(why)) => return Err(format!("the options are plain data, but {why}")),
        };
        let arguments: Result<Vec<_>, _> = given.iter().map(convert::to_value).collect();
        let arguments = arguments.map_err(|why| format!("the arguments are plain data, but {why}"))?;
        Ok(Self { arguments, options, handler })
    }
}

impl Collector {
    fn take(&mut self, site: &Site<'_>, given: Vec<Dynamic>) -> Result<(), Box<Fault>> {
        let Given { arguments, options, mut handler } = Given::read(site.kind, given)
            .map_err(|why| self.fault(site, &format!("{why}: write {}", usage(site.kind))))?;
        let written = triggers::read(site.kind, arguments, options, &self.trigger_context)
            .map_err(|fault| self.blame(site, fault))?;
        for need in written.trigger.needs() {
            self.config.permissions.check(&self.script, need).map_err(|denied| self.deny(site, denied))?;
        }
        let mut policy = written.policy;
        policy.name = Some(self.unique(policy.name.take(), &written.trigger.summary(), site)?);
        self.declared.push(Declaration {
            trigger: written.trigger,
            kind: site.kind.name,
            identity: written.identity,
            policy,
            location: self.files.location(site.file, site.position),
            handler: self.handlers.len(),
        });
        // What it captured is shared with the top level, which may go on to change it.
        let captured: Vec<_> = handler.curry().iter().map(Dynamic::flatten_clone).collect();
        handler.set_curry(captured);
        self.handlers.push(handler);
        Ok(())
    }

    fn fault(&self, site: &Site<'_>, text: &str) -> Fault {
        self.files.fault(site.file, site.position, text)
    }

    /// Returns where the arguments of a call in the script's own file stand.
    fn arguments(&self, site: &Site<'_>) -> Option<&Arguments> {
        (site.file == self.files.own()).then(|| self.calls.at(site.position)).flatten()
    }

    /// Points at the option or argument that is to blame.
    fn blame(&self, site: &Site<'_>, fault: OptionFault) -> Fault {
        let place = self.arguments(site).and_then(|arguments| match &fault.option {
            Some(option) => {
                let argument = site.kind.arguments.iter().position(|name| name == option);
                arguments.key(option).or_else(|| arguments.start(argument?))
            }
            None => arguments.start(0).filter(|_| !site.kind.arguments.is_empty()),
        });
        self.files.fault(site.file, place.unwrap_or(site.position), fault.message)
    }

    fn deny(&self, site: &Site<'_>, denied: Denied) -> Fault {
        let place = self.arguments(site).and_then(|arguments| arguments.start(0)).unwrap_or(site.position);
        let mut fault = self.files.fault(site.file, place, denied.message).with_hint(denied.hint);
        fault.kind = "denied".into();
        fault.with_code(codes::DENIED.code)
    }

    /// Returns the name that was written, or one made from what is watched that no other trigger of the script has.
    fn unique(&self, written: Option<String>, summary: &str, site: &Site<'_>) -> Result<String, Box<Fault>> {
        let taken = |name: &str| self.declared.iter().any(|other| other.policy.name.as_deref() == Some(name));
        if let Some(name) = written {
            if !taken(&name) {
                return Ok(name);
            }
            let place = self.arguments(site).and_then(|arguments| arguments.key("name")).unwrap_or(site.position);
            let text = format!("another trigger of this script is named `{name}`");
            return Err(self.files.fault(site.file, place, text).into());
        }
        if !taken(summary) {
            return Ok(summary.to_owned());
        }
        let numbered = (2..).map(|number| format!("{summary} #{number}")).find(|name| !taken(name));
        Ok(numbered.expect("there are more numbers than triggers"))
    }
}
