//! Standard functions with a size check before the call, because one call could exhaust the memory or never end.

use std::any::TypeId;
use std::sync::LazyLock;

use rhai::packages::{Package, StandardPackage};
use rhai::{
    Array, Blob, Dynamic, Engine, FnPtr, FuncRegistration, INT, ImmutableString, Map, Module, NativeCallContext,
    Position, RhaiFunc, Shared,
};

use super::guard;
use crate::functions::{PACKAGES, Stop, Thrown, thrown, uncatchable};

/// The deepest nesting of a value that can be converted to text.
const MAX_TEXT_DEPTH: usize = 1_000;

/// The memory of a list element with short text, in bytes, including allocator overhead.
const ELEMENT_SIZE: u64 = 64;

/// Estimates the memory that a call needs in bytes, or rejects the call.
type Estimate = fn(&[&mut Dynamic]) -> Result<u64, Thrown>;

/// Returns the checked functions, built once per process.
pub(super) fn module() -> Shared<Module> {
    static MODULE: LazyLock<Shared<Module>> = LazyLock::new(|| {
        let mut module = Module::new();
        let text = TypeId::of::<ImmutableString>();
        let (letter, whole) = (TypeId::of::<char>(), TypeId::of::<INT>());
        let (array, blob, map) = (TypeId::of::<Array>(), TypeId::of::<Blob>(), TypeId::of::<Map>());
        for padding in [letter, text] {
            add(&mut module, "pad", &[text, whole, padding], padded_text);
        }
        add(&mut module, "pad", &[array, whole, TypeId::of::<Dynamic>()], padded_array);
        add(&mut module, "pad", &[blob, whole, whole], |args| Ok(length(args, 1)));
        add(&mut module, "blob", &[whole], |args| Ok(length(args, 0)));
        add(&mut module, "blob", &[whole, whole], |args| Ok(length(args, 0)));
        for (from, to) in [(letter, letter), (letter, text), (text, letter), (text, text)] {
            add(&mut module, "replace", &[text, from, to], replaced);
        }
        for name in ["split", "split_rev"] {
            for delimiter in [letter, text] {
                add(&mut module, name, &[text, delimiter], pieces);
                add(&mut module, name, &[text, delimiter, whole], pieces);
            }
        }
        add(&mut module, "split", &[text], pieces);
        add(&mut module, "to_chars", &[text], pieces);
        add(&mut module, "to_array", &[blob], pieces);
        for kind in [array, map, TypeId::of::<FnPtr>()] {
            // The interpreter logs the text that `print` and `debug` return.
            for (name, writer) in
                [("to_string", "to_string"), ("to_debug", "to_debug"), ("print", "to_string"), ("debug", "to_debug")]
            {
                add_printer(&mut module, name, writer, kind);
            }
        }
        module.build_index();
        module.into()
    });
    MODULE.clone()
}

/// Registers a standard function with a memory estimate.
fn add(module: &mut Module, name: &'static str, types: &[TypeId], estimate: Estimate) {
    register(module, name, types, move |args| {
        let bytes = estimate(args)?;
        if bytes > guard::remaining_memory() {
            guard::stop(Stop::Memory);
            return Err(uncatchable(Stop::Memory));
        }
        call_standard(name, args)
    });
}

/// Registers a function that converts a value to text, unless the text is too long or the value nests too deeply.
///
/// It stops the run itself: after an error the interpreter would print the value in another way.
fn add_printer(module: &mut Module, name: &'static str, writer: &'static str, kind: TypeId) {
    register(module, name, &[kind], move |args| {
        let mut budget = guard::remaining_memory();
        if fits(args[0], 0, &mut budget) {
            return call_standard(writer, args);
        }
        guard::stop(Stop::Memory);
        Ok("…".into())
    });
}

fn register(
    module: &mut Module,
    name: &'static str,
    types: &[TypeId],
    call: impl Fn(&mut [&mut Dynamic]) -> Result<Dynamic, Thrown> + Send + Sync + 'static,
) {
    let func = Shared::new(move |_: Option<NativeCallContext<'_>>, args: &mut [&mut Dynamic]| call(args));
    let func = RhaiFunc::Method { func, has_context: false, is_pure: true, is_volatile: false };
    FuncRegistration::new(name).in_global_namespace().set_into_module_raw(module, types, func);
}

/// Calls the standard function.
fn call_standard(name: &str, args: &mut [&mut Dynamic]) -> Result<Dynamic, Thrown> {
    static STANDARD: LazyLock<Engine> = LazyLock::new(|| {
        let mut engine = Engine::new_raw();
        engine.register_global_module(StandardPackage::new().as_shared_module());
        // The packages define how their types are printed, such as a time in a list.
        let mut packages = Module::new();
        PACKAGES.iter().for_each(|package| (package.register)(&mut packages));
        engine.register_global_module(packages.into());
        engine
    });
    let global = STANDARD.new_global_runtime_state();
    NativeCallContext::new_with_all_fields(&STANDARD, name, None, &global, Position::NONE)
        .call_native_fn_raw(name, true, args)
}

fn size(value: &Dynamic) -> u64 {
    if let Some(text) = value.read_lock::<ImmutableString>() {
        return text.len() as u64;
    }
    if let Some(blob) = value.read_lock::<Blob>() {
        return blob.len() as u64;
    }
    value.as_char().map_or(0, |letter| letter.len_utf8() as u64)
}

fn length(args: &[&mut Dynamic], index: usize) -> u64 {
    args.get(index).and_then(|length| length.as_int().ok()).and_then(|length| u64::try_from(length).ok()).unwrap_or(0)
}

fn padded_text(args: &[&mut Dynamic]) -> Result<u64, Thrown> {
    if size(args[2]) == 0 {
        return Err(thrown("argument", "`pad` cannot pad with an empty text: write at least one character"));
    }
    Ok(length(args, 1).saturating_mul(4).saturating_add(size(args[2])))
}

fn padded_array(args: &[&mut Dynamic]) -> Result<u64, Thrown> {
    let mut budget = u64::MAX;
    let item = if fits(args[2], 0, &mut budget) { u64::MAX - budget } else { u64::MAX };
    Ok(length(args, 1).saturating_mul(item.saturating_add(16)))
}

fn replaced(args: &[&mut Dynamic]) -> Result<u64, Thrown> {
    let (text, from, to) = (args[0].to_string(), args[1].to_string(), args[2].to_string());
    let found = if from.is_empty() { text.chars().count() + 1 } else { text.matches(&from).count() };
    Ok((text.len() as u64).saturating_add((found as u64).saturating_mul(to.len() as u64)))
}

fn pieces(args: &[&mut Dynamic]) -> Result<u64, Thrown> {
    let delimiter = args.get(1).map_or(1, |delimiter| size(delimiter)).max(1);
    let max = (size(args[0]) / delimiter).saturating_add(1);
    let pieces = match args.get(2).map(|limit| limit.as_int()) {
        Some(Ok(limit)) => max.min(u64::try_from(limit).unwrap_or(0)),
        _ => max,
    };
    // Most texts have far fewer pieces than the upper bound, so count them only if the bound is too high.
    if pieces.saturating_mul(ELEMENT_SIZE) <= guard::remaining_memory() || args.len() < 2 {
        return Ok(pieces.saturating_mul(ELEMENT_SIZE));
    }
    let (text, delimiter) = (args[0].to_string(), args[1].to_string());
    let found = if delimiter.is_empty() { pieces } else { (text.matches(&delimiter).count() as u64 + 1).min(pieces) };
    Ok(found.saturating_mul(ELEMENT_SIZE))
}

/// Returns whether the text of a value is within a budget of bytes, and the value nests no deeper than allowed.
fn fits(value: &Dynamic, depth: usize, budget: &mut u64) -> bool {
    let mut take = |bytes: u64| {
        let enough = bytes <= *budget;
        *budget = budget.saturating_sub(bytes);
        enough
    };
    if depth > MAX_TEXT_DEPTH || !take(16) {
        return false;
    }
    if let Some(text) = value.read_lock::<ImmutableString>() {
        return take((text.len() as u64).saturating_mul(2));
    }
    if let Some(blob) = value.read_lock::<Blob>() {
        return take((blob.len() as u64).saturating_mul(4));
    }
    if let Some(items) = value.read_lock::<Array>() {
        return items.iter().all(|item| fits(item, depth + 1, budget));
    }
    if let Some(map) = value.read_lock::<Map>() {
        return map.iter().all(|(key, item)| {
            let key = key.len() as u64;
            let enough = key <= *budget;
            *budget = budget.saturating_sub(key);
            enough && fits(item, depth + 1, budget)
        });
    }
    if let Some(pointer) = value.read_lock::<FnPtr>() {
        return pointer.curry().iter().all(|item| fits(item, depth + 1, budget));
    }
    true
}
