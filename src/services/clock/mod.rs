//! The clock: wall time in production, a manually advanced clock in tests and simulations.
//!
//! # Activity count
//! A manual clock advances only while nothing is running. It keeps an exact count of running work:
//! - Each [`ActivityGuard`] counts one. An event carries a guard through the dispatcher, and its run holds it to the end. A task that sleeps creates
//!   its guard *before* it is spawned (so that it counts before its first poll) and holds it until the task ends.
//! - While a holder waits in [`ActivityGuard::sleep_until`], [`ActivityGuard::sleep`] or [`ActivityGuard::idle`], its guard does not count. The clock
//!   counts a sleeper again in the same critical section that wakes it, so there is no gap.
//! - The functions of a run do not hold the run's guard. They wait in [`Clock::sleep_until`], which decrements the count while it waits. A caller
//!   without a guard makes the count negative, and [`Clock::advance`] panics.
//! - The guard of an event that is queued behind another run is suspended with [`ActivityGuard::suspend`] and resumed when its own run starts.
//! - Work that is handed to an idling task carries an `ActivityGuard`, which is dropped when the work is done.

mod activity;
mod handle;
mod manual;
mod monotonic;
mod sleep;
mod system;
#[cfg(test)]
mod tests;
mod woken;

pub use self::activity::{ActivityGuard, SuspendedActivity};
pub use self::handle::Clock;
pub use self::monotonic::MonotonicClock;
pub use self::woken::Woken;
