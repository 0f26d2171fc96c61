//! Allocation counts per thread, by which runs have a memory limit.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

use mimalloc::MiMalloc;

thread_local! {
    static ALLOCATED: Cell<i64> = const { Cell::new(0) };
}

/// Returns the bytes that this thread has allocated minus those it has freed, including an overhead per allocation.
/// Negative if it freed memory of other threads.
///
/// Always 0 in a process whose global allocator is not [`CountingAllocator`].
pub fn allocated() -> i64 {
    ALLOCATED.get()
}

/// Runs code whose allocations do not count for this thread, because all threads share the data.
pub fn uncounted<T>(work: impl FnOnce() -> T) -> T {
    let held = ALLOCATED.get();
    let value = work();
    ALLOCATED.set(held);
    value
}

/// The allocator overhead of each allocation in bytes.
const OVERHEAD: i64 = 16;

fn count(bytes: i64) {
    // The counter of a thread that is ending is already destroyed, and no run is active there.
    let _ = ALLOCATED.try_with(|held| held.set(held.get().wrapping_add(bytes)));
}

/// A counting wrapper of mimalloc. A program installs it with `#[global_allocator]`.
#[derive(Debug, Default)]
pub struct CountingAllocator;

#[expect(unsafe_code, reason = "a global allocator needs unsafe code; every call is forwarded to mimalloc")]
// SAFETY: each method hands its arguments on to `MiMalloc` unchanged and returns what that returns; counting neither
// allocates nor unwinds, since the counter is a plain cell without a destructor.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64 + OVERHEAD);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is `MiMalloc`'s too.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64 + OVERHEAD);
        // SAFETY: as for `alloc`.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64) - OVERHEAD);
        // SAFETY: `pointer` came from `MiMalloc` with this layout, since every allocation is handed on to it.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: as for `dealloc`.
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
#[global_allocator]
static COUNTING: CountingAllocator = CountingAllocator;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uncounted_allocations_do_not_count() {
        let before = allocated();
        let all = uncounted(|| vec![0_u8; 1 << 20]);
        assert_eq!(allocated(), before);
        drop(all);
    }

    #[test]
    fn a_thread_counts_its_allocations_and_its_own_frees() {
        let before = allocated();
        let block = vec![0_u8; 1 << 20];
        assert!(allocated() - before >= 1 << 20);
        std::thread::spawn(move || drop(block)).join().unwrap();
        let after = vec![0_u8; 1 << 10];
        assert!(allocated() - before >= 1 << 20, "another thread's free does not count here");
        drop(after);
    }
}
