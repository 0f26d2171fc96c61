//! The threads that run scripts, and the sizes of their stacks.

use std::io;

use crate::config::Limits;

/// The smallest stack of a thread that runs scripts, in bytes. Enough for the default limits.
pub const MIN_STACK_SIZE: usize = 256 << 20;

/// Returns the stack size that a thread needs to run scripts within these limits, in bytes.
///
/// Nested closures and lists are dropped, copied and compared recursively, and the memory limit allows hundreds of thousands
/// of levels. A level takes less than four times as much stack as memory, also in a debug build. Only the used part of a
/// stack takes physical memory.
pub fn stack_size(limits: &Limits) -> usize {
    usize::try_from(limits.memory).unwrap_or(usize::MAX).saturating_mul(4).max(MIN_STACK_SIZE)
}

/// Runs a closure on a thread with the stack size that scripts within these limits need.
///
/// # Errors
/// If the thread cannot be started, or the closure panics.
pub fn on_script_thread<T: Send>(limits: &Limits, run: impl FnOnce() -> T + Send) -> io::Result<T> {
    let stack = stack_size(limits);
    let ended = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("script".into()).stack_size(stack);
        thread.spawn_scoped(scope, run).map(|thread| thread.join())
    });
    ended?.map_err(|_| io::Error::other("the interpreter panicked: this is a bug in rhaid"))
}
