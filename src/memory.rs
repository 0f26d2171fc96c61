//! Counts what each thread has allocated, so that a run can be held to a memory budget.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATED: Cell<i64> = const { Cell::new(0) };
}

/// Returns the bytes that this thread has allocated less those it has freed, with what each allocation costs beside its
/// size; negative where it frees what others allocated.
///
/// Stays 0 in a process whose global allocator is not [`CountingAllocator`].
pub fn allocated() -> i64 {
    ALLOCATED.get()
}

/// Does work that counts as nobody's on this thread: what it leaves behind belongs to all.
pub fn uncounted<T>(work: impl FnOnce() -> T) -> T {
    let held = ALLOCATED.get();
    let value = work();
    ALLOCATED.set(held);
    value
}

/// What every allocation costs the system beside its size.
const OVERHEAD: i64 = 16;

fn count(bytes: i64) {
    // A thread that is ending has no counter any more, and no run either.
    let _ = ALLOCATED.try_with(|held| held.set(held.get().wrapping_add(bytes)));
}

/// A counting allocator over the system's; a program installs it with `#[global_allocator]`.
#[derive(Debug, Default)]
pub struct CountingAllocator;

#[expect(
    unsafe_code,
    reason = "a global allocator can not be written without; every call is handed on to the system's"
)]
// SAFETY: each method hands its arguments on to `System` unchanged and returns what that returns; counting neither
// allocates nor unwinds, since the counter is a plain cell without a destructor.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64 + OVERHEAD);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is `System`'s too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64 + OVERHEAD);
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64) - OVERHEAD);
        // SAFETY: `pointer` came from `System` with this layout, since every allocation is handed on to it.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: as for `dealloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
#[global_allocator]
static COUNTING: CountingAllocator = CountingAllocator;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_all_is_not_counted() {
        let before = allocated();
        let all = uncounted(|| vec![0_u8; 1 << 20]);
        assert_eq!(allocated(), before);
        drop(all);
    }

    #[test]
    fn a_thread_counts_what_it_holds_and_gives_back() {
        let before = allocated();
        let block = vec![0_u8; 1 << 20];
        assert!(allocated() - before >= 1 << 20);
        std::thread::spawn(move || drop(block)).join().unwrap();
        let after = vec![0_u8; 1 << 10];
        assert!(allocated() - before >= 1 << 20, "another thread's free does not count here");
        drop(after);
    }
}
