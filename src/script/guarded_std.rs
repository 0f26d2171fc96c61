//! Puts a check in front of standard functions with which one call could fill the memory or never end.

use std::any::TypeId;
use std::sync::LazyLock;

use rhai::packages::{Package, StandardPackage};
use rhai::{
    Array, Blob, Dynamic, Engine, FnPtr, FuncRegistration, INT, ImmutableString, Map, Module, NativeCallContext,
    Position, RhaiFunc, Shared,
};

use super::guard;
use crate::functions::{PACKAGES, Stop, Thrown, thrown, uncatchable};

/// How deeply a value may nest to be printed or written as text.
const DEEPEST: usize = 1_000;

/// What a value takes in a list, in bytes, with what the allocator adds for short text.
const ELEMENT: u64 = 64;

/// Says how many bytes a call would need, or why it can not be made.
type Price = fn(&[&mut Dynamic]) -> Result<u64, Thrown>;

/// Returns the functions that check before they call the standard ones, built once per process.
pub(super) fn module() -> Shared<Module> {
    static MODULE: LazyLock<Shared<Module>> = LazyLock::new(|| {
        let mut module = Module::new();
        let text = TypeId::of::<ImmutableString>();
        let (letter, whole) = (TypeId::of::<char>(), TypeId::of::<INT>());
        let (array, blob, map) = (TypeId::of::<Array>(), TypeId::of::<Blob>(), TypeId::of::<Map>());
        for padding in [letter, text] {
            put(&mut module, "pad", &[text, whole, padding], padded_text);
        }
        put(&mut module, "pad", &[array, whole, TypeId::of::<Dynamic>()], padded_array);
        put(&mut module, "pad", &[blob, whole, whole], |args| Ok(length(args, 1)));
        put(&mut module, "blob", &[whole], |args| Ok(length(args, 0)));
        put(&mut module, "blob", &[whole, whole], |args| Ok(length(args, 0)));
        for (from, to) in [(letter, letter), (letter, text), (text, letter), (text, text)] {
            put(&mut module, "replace", &[text, from, to], replaced);
        }
        for name in ["split", "split_rev"] {
            for delimiter in [letter, text] {
                put(&mut module, name, &[text, delimiter], pieces);
                put(&mut module, name, &[text, delimiter, whole], pieces);
            }
        }
        put(&mut module, "split", &[text], pieces);
        put(&mut module, "to_chars", &[text], pieces);
        put(&mut module, "to_array", &[blob], pieces);
        for kind in [array, map, TypeId::of::<FnPtr>()] {
            // What `print` and `debug` get as text, the interpreter logs.
            for (name, writer) in
                [("to_string", "to_string"), ("to_debug", "to_debug"), ("print", "to_string"), ("debug", "to_debug")]
            {
                put_printer(&mut module, name, writer, kind);
            }
        }
        module.build_index();
        module.into()
    });
    MODULE.clone()
}

/// Registers a function that asks for the price first.
fn put(module: &mut Module, name: &'static str, types: &[TypeId], price: Price) {
    register(module, name, types, move |args| {
        let bytes = price(args)?;
        if bytes > guard::room() {
            guard::stop(Stop::Memory);
            return Err(uncatchable(Stop::Memory));
        }
        plain(name, args)
    });
}

/// Registers a function that turns a value into text, unless that would be too long or nests too deeply.
///
/// It stops the run on its own, since the interpreter would print the value in another way if this failed.
fn put_printer(module: &mut Module, name: &'static str, writer: &'static str, kind: TypeId) {
    register(module, name, &[kind], move |args| {
        let mut budget = guard::room();
        if fits(args[0], 0, &mut budget) {
            return plain(writer, args);
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
fn plain(name: &str, args: &mut [&mut Dynamic]) -> Result<Dynamic, Thrown> {
    static PLAIN: LazyLock<Engine> = LazyLock::new(|| {
        let mut engine = Engine::new_raw();
        engine.register_global_module(StandardPackage::new().as_shared_module());
        // They say how what they return is written, such as a time in a list.
        let mut written = Module::new();
        PACKAGES.iter().for_each(|package| (package.register)(&mut written));
        engine.register_global_module(written.into());
        engine
    });
    let global = PLAIN.new_global_runtime_state();
    NativeCallContext::new_with_all_fields(&PLAIN, name, None, &global, Position::NONE)
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
        return Err(thrown("argument", "`pad` needs something to pad with, and was given an empty text"));
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
    let most = (size(args[0]) / delimiter).saturating_add(1);
    let pieces = match args.get(2).map(|limit| limit.as_int()) {
        Some(Ok(limit)) => most.min(u64::try_from(limit).unwrap_or(0)),
        _ => most,
    };
    // Most text is split into far fewer pieces than it could be: only look closely when it matters.
    if pieces.saturating_mul(ELEMENT) <= guard::room() || args.len() < 2 {
        return Ok(pieces.saturating_mul(ELEMENT));
    }
    let (text, delimiter) = (args[0].to_string(), args[1].to_string());
    let found = if delimiter.is_empty() { pieces } else { (text.matches(&delimiter).count() as u64 + 1).min(pieces) };
    Ok(found.saturating_mul(ELEMENT))
}

/// Returns whether a value, written as text, nests no deeper than allowed and stays within a budget of bytes.
fn fits(value: &Dynamic, depth: usize, budget: &mut u64) -> bool {
    let mut take = |bytes: u64| {
        let enough = bytes <= *budget;
        *budget = budget.saturating_sub(bytes);
        enough
    };
    if depth > DEEPEST || !take(16) {
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
