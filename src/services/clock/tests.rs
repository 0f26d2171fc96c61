//! Tests of the manual and the system clock.

use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::services::clock::{ActivityGuard, Clock, Woken};

fn start() -> Zoned {
    "2026-01-01T00:00:00+01:00[Europe/Berlin]".parse().unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Spawns a task that appends its name to the log at a fixed interval.
fn ticker(runtime: &tokio::runtime::Runtime, clock: &Clock, name: char, seconds: i64, log: &Arc<Mutex<String>>) {
    let (mut activity, clock, log) = (clock.activity(), clock.clone(), Arc::clone(log));
    runtime.spawn(async move {
        let mut due = clock.now();
        loop {
            due += jiff::SignedDuration::from_secs(seconds);
            activity.sleep_until(&clock, due).await;
            assert_eq!(clock.now(), due);
            tokio::task::yield_now().await;
            log.lock().push(name);
        }
    });
}

#[test]
fn sleepers_wake_in_order_one_by_one() {
    let (runtime, clock, log) = (runtime(), Clock::manual(start()), Arc::default());
    ticker(&runtime, &clock, 'a', 2, &log);
    ticker(&runtime, &clock, 'b', 3, &log);
    clock.advance(Duration::from_secs(9));
    // Both are due at 6 s; b has slept since 3 s, a since 4 s.
    assert_eq!(*log.lock(), "ababaab");
    assert_eq!(clock.now_zoned().to_string(), "2026-01-01T00:00:09+01:00[Europe/Berlin]");
}

#[test]
fn time_does_not_advance_while_work_is_running() {
    let (runtime, clock) = (runtime(), Clock::manual(start()));
    let (work, mut inbox) = mpsc::channel::<ActivityGuard>(8);
    let (mut activity, worker) = (clock.activity(), clock.clone());
    runtime.spawn(async move {
        loop {
            activity.sleep_until(&worker, worker.now() + jiff::SignedDuration::from_secs(1)).await;
            work.send(worker.activity()).await.unwrap();
        }
    });
    let (seen, watch) = (Arc::new(Mutex::new(Vec::new())), clock.clone());
    let log = Arc::clone(&seen);
    runtime.spawn(async move {
        while let Some(_activity) = inbox.recv().await {
            let before = watch.now();
            tokio::time::sleep(Duration::from_millis(3)).await;
            log.lock().push((before, watch.now()));
        }
    });
    clock.advance(Duration::from_secs(20));
    let seen = seen.lock();
    assert_eq!(seen.len(), 20);
    assert!(seen.iter().all(|(before, after)| before == after));
}

#[test]
fn a_run_that_sleeps_lets_time_pass() {
    let (runtime, clock) = (runtime(), Clock::manual(start()));
    let (run, functions) = (clock.activity(), clock.clone());
    let slept = runtime.spawn(async move {
        functions.sleep_until(functions.now() + jiff::SignedDuration::from_hours(5)).await;
        let now = functions.now();
        drop(run);
        now
    });
    clock.advance(Duration::from_secs(6 * 3_600));
    let woke = runtime.block_on(slept).unwrap();
    assert_eq!(clock.now().duration_since(woke), jiff::SignedDuration::from_hours(1));
}

#[test]
fn a_cancelled_sleep_counts_as_activity_again() {
    let (runtime, clock) = (runtime(), Clock::manual(start()));
    let mut activity = clock.activity();
    let far = clock.now() + jiff::SignedDuration::from_hours(5);
    runtime.block_on(async {
        tokio::select! {
            biased;
            () = activity.sleep_until(&clock, far) => unreachable!(),
            () = tokio::task::yield_now() => {}
        }
    });
    assert_eq!(clock.expect_manual().lock().count, 1);
    drop(activity);
    assert_eq!(clock.expect_manual().lock().count, 0);
}

#[test]
fn an_idle_task_does_not_stop_the_clock() {
    let (runtime, clock) = (runtime(), Clock::manual(start()));
    let mut activity = clock.activity();
    let (send, mut receive) = mpsc::channel::<()>(1);
    let task = runtime.spawn(async move { activity.idle(receive.recv()).await });
    clock.advance(Duration::from_secs(60));
    drop(send);
    assert_eq!(runtime.block_on(task).unwrap(), None);
}

#[test]
fn setting_the_clock_ends_sleep_and_does_not_end_sleep_until_early() {
    let (runtime, clock) = (runtime(), Clock::manual(start()));
    let (mut first, mut second) = (clock.activity(), clock.activity());
    let due = clock.now() + jiff::SignedDuration::from_mins(10);
    let (first_clock, second_clock) = (clock.clone(), clock.clone());
    let interrupted = runtime.spawn(async move { first.sleep(&first_clock, due).await });
    let patient = runtime.spawn(async move { second.sleep_until(&second_clock, due).await });
    clock.advance(Duration::ZERO);
    clock.set(due - jiff::SignedDuration::from_hours(1));
    assert_eq!(runtime.block_on(interrupted).unwrap(), Woken::Jumped);
    assert!(!patient.is_finished());
    clock.set(due + jiff::SignedDuration::from_hours(1));
    runtime.block_on(patient).unwrap();
}

#[test]
#[should_panic(expected = "not counted")]
fn a_sleeper_without_an_activity_guard_is_detected() {
    let (runtime, clock) = (runtime(), Clock::manual(start()));
    let sleeper = clock.clone();
    let (ready, is_ready) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        let mut sleep = std::pin::pin!(sleeper.sleep_until(sleeper.now() + jiff::SignedDuration::from_hours(1)));
        assert!(futures_util::poll!(&mut sleep).is_pending());
        ready.send(()).unwrap();
        sleep.await;
    });
    is_ready.recv().unwrap();
    clock.advance(Duration::from_secs(1));
}

#[test]
fn the_clock_can_be_advanced_from_a_task() {
    let clock = Clock::manual(start());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut activity, sleeper) = (clock.activity(), clock.clone());
        let slept = tokio::spawn(async move {
            activity.sleep_until(&sleeper, sleeper.now() + jiff::SignedDuration::from_secs(5)).await;
            sleeper.now()
        });
        clock.advance_async(Duration::from_secs(7)).await;
        assert_eq!(clock.now().duration_since(slept.await.unwrap()), jiff::SignedDuration::from_secs(2));
    });
}

#[test]
fn the_system_clock_wakes_sleepers_at_the_moment_and_not_before() {
    let clock = Clock::system(TimeZone::UTC);
    runtime().block_on(async {
        let mut activity = clock.activity();
        let due = clock.now() + jiff::SignedDuration::from_millis(40);
        activity.sleep_until(&clock, due).await;
        assert!(clock.now() >= due);
        assert_eq!(activity.sleep(&clock, due).await, Woken::Due);
    });
}
