//! Tests of times of day and sun times.

use super::*;
use crate::triggers::bench::Bench;

fn bench(start: &str, location: Option<(f64, f64)>) -> Bench {
    let mut bench = Bench::new(start);
    bench.trigger_context.location = location;
    bench
}

fn list(moments: &[&str]) -> Value {
    Value::List(moments.iter().map(|&moment| moment.into()).collect())
}

#[test]
fn times_of_day_fire_once_a_day_in_order() {
    let bench = bench("2026-06-01T12:00[Europe/Berlin]", None);
    let _watch = bench.watch("at", list(&["22:30:15", "07:30"]), &[]);
    bench.pass(2 * 86_400);
    assert_eq!(bench.ticks(), ["01 22:30:15", "02 07:30:00", "02 22:30:15", "03 07:30:00"]);
}

#[test]
fn a_time_of_day_follows_the_rule_for_clock_changes() {
    let bench = bench("2026-03-28T12:00[Europe/Berlin]", None);
    let _watch = bench.watch("at", "02:30", &[]);
    bench.pass(2 * 86_400);
    assert_eq!(bench.ticks(), ["29 03:00:00", "30 02:30:00"]);
    let bench = super::tests::bench("2026-10-24T12:00[Europe/Berlin]", None);
    let _watch = bench.watch("at", "02:30", &[]);
    bench.pass(2 * 86_400);
    assert_eq!(bench.ticks(), ["25 02:30:00", "26 02:30:00"]);
}

#[test]
fn the_sun_fires_every_day_of_a_year_once() {
    let bench = bench("2026-01-01T00:00[Europe/Oslo]", Some((59.91, 10.75)));
    for moment in ["sunrise", "sunset-30m", "sunset+3h", "sunrise-12h"] {
        let written = bench.read("at", moment.into(), &[]).ok().unwrap();
        let days = written.trigger.upcoming(&bench.services.clock.now_zoned(), 365);
        assert_eq!(days.len(), 365);
        for pair in days.windows(2) {
            let apart = pair[1].timestamp().duration_since(pair[0].timestamp()).as_secs();
            assert!((86_400 - 400..=86_400 + 400).contains(&apart), "{moment} {} {}", pair[0], pair[1]);
        }
    }
}

#[test]
fn an_offset_shifts_the_sun_time() {
    let bench = bench("2024-06-21T00:00[Europe/Oslo]", Some((59.9139, 10.7522)));
    let next = |moment: &str| {
        let written = bench.read("at", moment.into(), &[]).ok().unwrap();
        written.trigger.upcoming(&bench.services.clock.now_zoned(), 1)[0].timestamp()
    };
    assert_eq!(next("sunset").duration_since(next("sunset-30m")), SignedDuration::from_mins(30));
    assert_eq!(next("sunrise + 1h").duration_since(next("sunrise")), SignedDuration::from_hours(1));
}

#[test]
fn sun_times_do_not_fire_during_polar_night() {
    let bench = bench("2026-12-01T12:00[Europe/Oslo]", Some((69.65, 18.96)));
    let written = bench.read("at", "sunrise".into(), &[]).ok().unwrap();
    let next = &written.trigger.upcoming(&bench.services.clock.now_zoned(), 1)[0];
    assert_eq!((next.year(), next.month()), (2027, 1));
    assert!((13..=17).contains(&next.day()), "{next}");
}

#[test]
fn a_wrong_time_is_rejected_with_a_correction() {
    let nowhere = bench("2026-06-01T12:00[Europe/Berlin]", None);
    let fault = |bench: &Bench, moment: Value| bench.read("at", moment, &[]).err().map(|fault| fault.message).unwrap();
    let wrong = |text: &str| {
        format!(
            "moment: \"{text}\" is not a valid time: write a time such as \"07:30\" or \"07:30:15\", \"sunrise\", \"sunset-30m\" or \"sunrise+1h\""
        )
    };
    for text in ["7:30", "25:00", "07:60", "sunrise~1h", "noon", "", "07:30:15:00", "sunset-1x"] {
        assert_eq!(fault(&nowhere, text.into()), wrong(text));
    }
    assert_eq!(fault(&nowhere, Value::Int(7)), "moment: write text such as \"07:30\", not a whole number");
    assert_eq!(
        fault(&nowhere, "sunrise".into()),
        "sunrise and sunset need your location: set `location: { latitude: 59.91, longitude: 10.75 }` in rhaid.yaml"
    );
    assert_eq!(fault(&nowhere, "sunset+13h".into()), "moment: write an offset of at most 12h, not +13h");
    let pole = bench("2026-06-01T12:00[UTC]", Some((90.0, 0.0)));
    assert!(fault(&pole, "sunrise".into()).starts_with("never fires: "));
}
