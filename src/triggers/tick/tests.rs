//! Tests of schedules across suspends, restarts and clock changes.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::services::store::Store;
use crate::triggers::bench::{self, Bench};
use crate::triggers::{KINDS, TriggerContext, TriggerId};

const NOON: &str = "2026-06-01T12:00[Europe/Berlin]";

fn missed(policy: &str) -> (&'static str, Value) {
    ("missed", policy.into())
}

#[test]
fn cron_ticks_at_its_times_and_every_at_its_interval() {
    let bench = Bench::new("2026-06-01T12:00:07.25[Europe/Berlin]");
    let cron = bench.watch("cron", "*/5 * * * *", &[]);
    bench.pass(900);
    assert_eq!(bench.ticks(), ["01 12:05:00", "01 12:10:00", "01 12:15:00"]);
    bench.runtime.block_on(cron.stop());
    let _every = bench.watch("every", "1.5s", &[]);
    bench.pass(4);
    let received: Vec<_> = bench.received().iter().map(|event| event.at).collect();
    let begin = bench.now() - Duration::from_secs(4);
    assert_eq!(received, [begin + Duration::from_millis(1_500), begin + Duration::from_millis(3_000)]);
    assert_eq!(bench.received()[0].summary(), "every 1.5s");
}

#[test]
fn a_stopped_trigger_sends_no_events() {
    let bench = Bench::new(NOON);
    let watch = bench.watch("every", "10s", &[]);
    bench.pass(25);
    assert_eq!(bench.ticks().len(), 2);
    bench.runtime.block_on(watch.stop());
    bench.pass(100);
    assert_eq!(bench.ticks(), [""; 0]);
}

#[test]
fn a_thousand_intervals_do_not_drift() {
    let bench = Bench::new(NOON);
    let _watch = bench.watch("every", "10ms", &[]);
    bench.pass(10);
    let received = bench.received();
    assert_eq!(received.len(), 1_000);
    assert_eq!(received[999].at, bench.now());
}

#[test]
fn times_during_a_suspend_are_skipped_and_counted() {
    let bench = Bench::new(NOON);
    let _watch = bench.watch("cron", "*/10 * * * *", &[]);
    bench.set("2026-06-01T13:05[Europe/Berlin]");
    assert_eq!(bench.ticks(), [""; 0]);
    bench.pass(600);
    assert_eq!(bench.ticks(), ["01 13:10:00 missed 6"]);
    // A slightly late time fires.
    bench.set("2026-06-01T13:20:30[Europe/Berlin]");
    assert_eq!(bench.ticks(), ["01 13:20:00 late 30"]);
}

#[test]
fn missed_times_are_made_up_for_by_the_policy() {
    for (policy, window, expected) in [
        ("once", "8h", vec!["01 15:00:00 late 1800 missed 2"]),
        ("once", "20m", vec![]),
        ("all", "8h", vec!["01 13:00:00 late 9000", "01 14:00:00 late 5400", "01 15:00:00 late 1800"]),
        ("all", "2h", vec!["01 14:00:00 late 5400 missed 1", "01 15:00:00 late 1800"]),
    ] {
        let bench = Bench::new(NOON);
        let _watch = bench.watch("cron", "0 * * * *", &[missed(policy), ("window", window.into())]);
        bench.set("2026-06-01T15:30[Europe/Berlin]");
        assert_eq!(bench.ticks(), expected, "{policy} {window}");
        bench.pass(1_800);
        let unreported = if expected.is_empty() { " missed 3" } else { "" };
        assert_eq!(bench.ticks(), [format!("01 16:00:00{unreported}")], "{policy} {window}");
    }
}

#[test]
fn times_missed_during_a_restart_are_made_up_for_or_counted() {
    for (policy, expected) in
        [("skip", vec!["01 19:00:00 missed 4"]), ("once", vec!["01 18:00:00 late 1800 missed 3", "01 19:00:00"])]
    {
        let store = Store::in_memory().unwrap();
        let well = |_: &Event| (Duration::ZERO, Outcome::Succeeded(Value::Null));
        let before = Bench::with(NOON, well, store.clone());
        let watch = before.watch("cron", "0 * * * *", &[missed(policy)]);
        before.pass(2 * 3_600);
        assert_eq!(before.ticks(), ["01 13:00:00", "01 14:00:00"]);
        drop(watch);
        drop(before);
        let after = Bench::with("2026-06-01T18:30[Europe/Berlin]", well, store);
        let _watch = after.watch("cron", "0 * * * *", &[missed(policy)]);
        after.pass(1_800);
        assert_eq!(after.ticks(), expected, "{policy}");
    }
    // The very first start has no missed times.
    let bench = Bench::new(NOON);
    let _watch = bench.watch("cron", "0 * * * *", &[missed("all")]);
    bench.pass(1);
    assert_eq!(bench.ticks(), [""; 0]);
}

#[test]
fn an_interval_with_a_policy_continues_after_a_restart() {
    let store = Store::in_memory().unwrap();
    let well = |_: &Event| (Duration::ZERO, Outcome::Succeeded(Value::Null));
    let before = Bench::with(NOON, well, store.clone());
    drop(before.watch("every", "1h", &[missed("once")]));
    drop(before);
    let after = Bench::with("2026-06-01T14:30[Europe/Berlin]", well, store);
    let _watch = after.watch("every", "1h", &[missed("once")]);
    after.pass(1_800);
    assert_eq!(after.ticks(), ["01 14:00:00 late 1800 missed 1", "01 15:00:00"]);
}

#[test]
fn a_clock_set_back_does_not_fire_times_again() {
    let bench = Bench::new(NOON);
    let _watch = bench.watch("cron", "*/10 * * * *", &[]);
    bench.pass(1_800);
    assert_eq!(bench.ticks().len(), 3);
    bench.set("2026-06-01T12:05[Europe/Berlin]");
    bench.pass(35 * 60);
    assert_eq!(bench.ticks(), ["01 12:40:00"]);
    // A clock that was days ahead was wrong: the new time counts at once.
    bench.set("2026-05-20T12:00[Europe/Berlin]");
    bench.pass(600);
    assert_eq!(bench.ticks(), ["20 12:10:00"]);
}

#[test]
fn an_interval_continues_when_the_clock_is_set_back() {
    let bench = Bench::new(NOON);
    let _watch = bench.watch("every", "10s", &[]);
    bench.pass(30);
    assert_eq!(bench.ticks().len(), 3);
    bench.set("2026-06-01T11:00[Europe/Berlin]");
    bench.pass(30);
    assert_eq!(bench.ticks(), ["01 11:00:10", "01 11:00:20", "01 11:00:30"]);
}

#[test]
fn a_run_longer_than_the_interval_skips_ticks_without_starvation() {
    let long = |_: &Event| (Duration::from_millis(2_500), Outcome::Succeeded(Value::Null));
    let bench = Bench::with(NOON, long, Store::in_memory().unwrap());
    let _watch = bench.watch("every", "1s", &[]);
    bench.pass(9);
    assert_eq!(
        bench.ticks(),
        ["01 12:00:01", "01 12:00:03 late 0.5 missed 1", "01 12:00:06 missed 2", "01 12:00:08 late 0.5 missed 1"]
    );
}

#[test]
fn skipped_ticks_are_counted_in_the_next_one() {
    let skipping = |event: &Event| {
        let seconds = event.at.as_second() % 60;
        let outcome =
            if matches!(seconds, 20 | 30) { Outcome::Skipped(Skip::Busy) } else { Outcome::Succeeded(Value::Null) };
        (Duration::ZERO, outcome)
    };
    let bench = Bench::with(NOON, skipping, Store::in_memory().unwrap());
    let _watch = bench.watch("every", "10s", &[("mode", "single".into())]);
    bench.pass(50);
    assert_eq!(
        bench.ticks(),
        ["01 12:00:10", "01 12:00:20", "01 12:00:30 missed 1", "01 12:00:40 missed 2", "01 12:00:50"]
    );
}

#[test]
fn jitter_delays_ticks_but_not_the_interval() {
    let bench = Bench::new(NOON);
    let _watch = bench.watch("every", "10s", &[("jitter", "5s".into())]);
    bench.pass(1_005);
    let received = bench.received();
    assert_eq!(received.len(), 100);
    let late = |event: &Event| {
        let Some(Value::Time(scheduled)) = event.fact("scheduled") else { panic!() };
        event.at.duration_since(scheduled.timestamp()).as_millis()
    };
    assert!(received.iter().all(|event| (0..=5_000).contains(&late(event))));
    let distinct: std::collections::BTreeSet<_> = received.iter().map(late).collect();
    assert!(distinct.len() > 10, "{distinct:?}");
}

#[test]
fn cron_keeps_its_order_across_clock_changes() {
    for (start, expression, seconds, count) in [
        ("2026-03-29T00:00[Europe/Berlin]", "30 2 * * *", 86_400 * 2, 2),
        ("2026-10-25T00:00[Europe/Berlin]", "30 2 * * *", 86_400 * 2, 2),
        ("2026-10-25T01:00[Europe/Berlin]", "0 * * * *", 4 * 3_600, 4),
        ("2026-10-25T02:30+02:00[Europe/Berlin]", "*/10 * * * * *", 3_600, 360),
        ("2026-04-05T01:00[Australia/Lord_Howe]", "*/30 * * * *", 7_200, 4),
    ] {
        let bench = Bench::new(start);
        let _watch = bench.watch("cron", expression, &[]);
        bench.pass(seconds);
        let received = bench.received();
        assert_eq!(received.len(), count, "{expression} from {start}");
        assert!(received.windows(2).all(|pair| pair[0].at < pair[1].at), "{expression} from {start}");
    }
}

#[test]
fn the_timezone_option_is_applied() {
    let bench = Bench::new(NOON);
    let _watch = bench.watch("cron", "0 7 * * *", &[("timezone", "Asia/Tokyo".into())]);
    bench.pass(86_400);
    assert_eq!(bench.ticks(), ["02 07:00:00"]);
    let written = bench.read("cron", "0 7 * * *".into(), &[("timezone", "Asia/Tokyo".into())]).ok().unwrap();
    let next = written.trigger.upcoming(&NOON.parse().unwrap(), 2);
    let next: Vec<_> = next.iter().map(ToString::to_string).collect();
    assert_eq!(next, ["2026-06-02T07:00:00+09:00[Asia/Tokyo]", "2026-06-03T07:00:00+09:00[Asia/Tokyo]"]);
}

#[test]
fn wrong_options_are_rejected_with_a_correction() {
    let bench = Bench::new(NOON);
    for (kind, argument, options, expected) in [
        (
            "cron",
            Value::from("61 * * * *"),
            vec![],
            "cron \"61 * * * *\", character 1: minute `61`: write a number from 0 to 59, a range such as `1-5`, `*` or `*/2`",
        ),
        ("cron", 5.into(), vec![], "expression: write text such as \"0 7 * * *\", not a whole number"),
        (
            "cron",
            "@daily".into(),
            vec![("timezone", Value::from("Europe/Oslp"))],
            "timezone: there is no time zone \"Europe/Oslp\": did you mean \"Europe/Oslo\"?",
        ),
        (
            "cron",
            "@daily".into(),
            vec![("window", "1h".into())],
            "window: requires a policy for missed times: write `missed: \"once\"` or \"all\" too",
        ),
        ("cron", "@daily".into(), vec![("missed", "twice".into())], "missed: write one of \"skip\", \"once\", \"all\""),
        (
            "cron",
            "@daily".into(),
            vec![("timezon", "UTC".into())],
            "unknown option `timezon`: did you mean `timezone`?",
        ),
        ("every", "1ms".into(), vec![], "interval: 1ms is too short: write \"10ms\" or more"),
        (
            "every",
            "soon".into(),
            vec![],
            "interval: \"soon\" is not a duration: write a number and a unit, such as \"250ms\", \"30s\", \"1h30m\" or \"2d\"",
        ),
        ("every", "1s".into(), vec![("jitter", "2s".into())], "jitter: write at most the interval, \"1s\""),
    ] {
        let fault = bench.read(kind, argument, &options).err().unwrap();
        assert_eq!(fault.message, expected);
    }
}

#[test]
fn a_thousand_handlers_due_in_one_second_all_fire_in_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (services, inbox, mut trigger_events) = bench::real();
        let trigger_context = TriggerContext {
            zone: jiff::tz::TimeZone::UTC,
            location: None,
            brokers: std::sync::Arc::default(),
            base: "/".into(),
        };
        let kind = KINDS.iter().find(|kind| kind.name == "cron").unwrap();
        let watches: Vec<_> = (0..1_000)
            .map(|number| {
                let arguments = vec![Value::from("* * * * * *")];
                let written = crate::triggers::read(kind, arguments, Map::new(), &trigger_context).ok().unwrap();
                let sender =
                    EventSender::new(TriggerId(number), "door".into(), Arc::new(inbox.clone()), services.clock.clone());
                written.trigger.watch(sender, &services)
            })
            .collect();
        // Some of them may still be starting during the first second.
        let mut second = services.clock.now().as_second() + 2;
        let mut seen = 0;
        for _ in 0..5_000 {
            let trigger_event =
                tokio::time::timeout(Duration::from_secs(30), trigger_events.recv()).await.unwrap().unwrap();
            if trigger_event.skip.is_some() {
                continue;
            }
            let Some(Value::Time(scheduled)) = trigger_event.event.fact("scheduled") else { panic!() };
            if scheduled.timestamp().as_second() != second {
                if scheduled.timestamp().as_second() > second {
                    (seen, second) = (0, scheduled.timestamp().as_second());
                } else {
                    continue;
                }
            }
            seen += 1;
            if seen == 1_000 {
                break;
            }
        }
        assert_eq!(seen, 1_000, "each handler fired in one and the same second");
        drop(watches);
    });
}
