//! Tests of cron expressions, mostly around clock changes.

use jiff::Zoned;

use super::*;

fn times(expression: &str, from: &str, count: usize) -> Vec<String> {
    let from: Zoned = from.parse().unwrap();
    next(&parse(expression).unwrap(), &from, count)
        .into_iter()
        .map(|moment| moment.strftime("%m-%d %H:%M:%S%:z").to_string())
        .collect()
}

fn fault(expression: &str) -> String {
    parse(expression).unwrap_err().to_string()
}

#[test]
fn a_skipped_time_of_day_fires_at_the_end_of_the_gap() {
    // Berlin goes from 02:00+01 to 03:00+02 on 2026-03-29.
    assert_eq!(
        times("30 2 * * *", "2026-03-28T00:00[Europe/Berlin]", 3),
        ["03-28 02:30:00+01:00", "03-29 03:00:00+02:00", "03-30 02:30:00+02:00"]
    );
    // Beirut's gap begins at midnight.
    assert_eq!(
        times("0 0 * * *", "2026-03-28T12:00[Asia/Beirut]", 2),
        ["03-29 01:00:00+03:00", "03-30 00:00:00+03:00"]
    );
    // Lord Howe goes half an hour ahead, from 02:00 to 02:30, on 2026-10-04.
    assert_eq!(
        times("15 2 * * *", "2026-10-03T12:00[Australia/Lord_Howe]", 2),
        ["10-04 02:30:00+11:00", "10-05 02:15:00+11:00"]
    );
}

#[test]
fn a_repeated_time_of_day_fires_once() {
    // Berlin goes from 03:00+02 to 02:00+01 on 2026-10-25.
    assert_eq!(
        times("30 2 * * *", "2026-10-24T12:00[Europe/Berlin]", 2),
        ["10-25 02:30:00+02:00", "10-26 02:30:00+01:00"]
    );
    // The same between the two occurrences.
    assert_eq!(times("30 2 * * *", "2026-10-25T02:45+02:00[Europe/Berlin]", 1), ["10-26 02:30:00+01:00"]);
    assert_eq!(times("30 2 * * *", "2026-10-25T02:15+01:00[Europe/Berlin]", 1), ["10-26 02:30:00+01:00"]);
    // Lord Howe goes half an hour back, from 02:00 to 01:30, on 2026-04-05.
    assert_eq!(
        times("45 1 * * *", "2026-04-04T12:00[Australia/Lord_Howe]", 2),
        ["04-05 01:45:00+11:00", "04-06 01:45:00+10:30"]
    );
}

#[test]
fn a_list_of_times_of_day_follows_the_same_rule() {
    assert_eq!(
        times("0,30 2,14 * * *", "2026-03-28T23:00[Europe/Berlin]", 3),
        ["03-29 03:00:00+02:00", "03-29 14:00:00+02:00", "03-29 14:30:00+02:00"]
    );
    assert_eq!(
        times("0,30 2,14 * * *", "2026-10-24T23:00[Europe/Berlin]", 3),
        ["10-25 02:00:00+02:00", "10-25 02:30:00+02:00", "10-25 14:00:00+01:00"]
    );
}

#[test]
fn a_wildcard_follows_elapsed_time() {
    for (zone, day) in [
        ("Europe/Berlin", "2026-03-29"),
        ("Europe/Berlin", "2026-10-25"),
        ("Asia/Beirut", "2026-03-29"),
        ("America/New_York", "2026-11-01"),
    ] {
        let from: Zoned = format!("{day}T00:00[{zone}]").parse().unwrap_or_else(|_| panic!("{zone}"));
        for (expression, seconds, count) in
            [("*/10 * * * * *", 10, 3_000), ("*/30 * * * *", 1_800, 20), ("0 * * * *", 3_600, 10)]
        {
            let moments = next(&parse(expression).unwrap(), &from, count);
            assert_eq!(moments.len(), count);
            for pair in moments.windows(2) {
                assert_eq!(
                    pair[1].timestamp().as_second() - pair[0].timestamp().as_second(),
                    seconds,
                    "{expression} in {zone} after {}",
                    pair[0]
                );
            }
        }
    }
    // Half an hour back: the half hour is repeated.
    assert_eq!(
        times("*/30 * * * *", "2026-04-05T01:00+11:00[Australia/Lord_Howe]", 4),
        ["04-05 01:30:00+11:00", "04-05 01:30:00+10:30", "04-05 02:00:00+10:30", "04-05 02:30:00+10:30"]
    );
}

#[test]
fn every_next_time_is_later_than_the_start() {
    for zone in ["Europe/Berlin", "Australia/Lord_Howe", "Asia/Beirut", "UTC", "Africa/Cairo"] {
        for expression in ["30 2 * * *", "*/7 * * * *", "0 0 * * *", "15 1,2,3 * * *", "*/10 30 2 * * *", "59 23 L * *"]
        {
            let expression = parse(expression).unwrap();
            let mut from: Zoned = format!("2026-03-27T23:59:59.5[{zone}]").parse().unwrap();
            for _ in 0..300 {
                let then = expression.next(&from).unwrap();
                assert!(then > from, "{} after {from}: {then}", expression.written());
                assert_eq!(then.subsec_nanosecond(), 0);
                from = then;
            }
        }
    }
}

#[test]
fn all_forms_of_expressions_are_accepted() {
    for (expression, from, expected) in [
        ("0 9 * * 1-5", "2026-01-03T00:00[UTC]", "01-05 09:00:00+00:00"),
        ("0 9 13 * 5", "2026-01-01T00:00[UTC]", "01-02 09:00:00+00:00"),
        ("0 9 13 * +5", "2026-01-01T00:00[UTC]", "02-13 09:00:00+00:00"),
        ("0 0 L 2 *", "2028-01-01T00:00[UTC]", "02-29 00:00:00+00:00"),
        ("0 0 LW * *", "2026-01-01T00:00[UTC]", "01-30 00:00:00+00:00"),
        ("0 0 15W * *", "2026-02-01T00:00[UTC]", "02-16 00:00:00+00:00"),
        ("0 0 * * 5L", "2026-01-01T00:00[UTC]", "01-30 00:00:00+00:00"),
        ("0 0 * * FRI#2", "2026-01-01T00:00[UTC]", "01-09 00:00:00+00:00"),
        ("0 0 * * fri-sun", "2026-01-01T00:00[UTC]", "01-02 00:00:00+00:00"),
        ("0 0 1 mar,Jun *", "2026-01-01T00:00[UTC]", "03-01 00:00:00+00:00"),
        ("0 0 * * 7", "2026-01-01T00:00[UTC]", "01-04 00:00:00+00:00"),
        ("0 0 ? * 0", "2026-01-01T00:00[UTC]", "01-04 00:00:00+00:00"),
        ("10-50/20 * * * * *", "2026-01-01T00:00:30[UTC]", "01-01 00:00:50+00:00"),
        ("@hourly", "2026-01-01T00:00[UTC]", "01-01 01:00:00+00:00"),
        (" @Weekly ", "2026-01-01T00:00[UTC]", "01-04 00:00:00+00:00"),
        ("0 0 29 2 *", "2026-01-01T00:00[UTC]", "02-29 00:00:00+00:00"),
    ] {
        assert_eq!(times(expression, from, 1), [expected], "{expression}");
    }
}

#[test]
fn a_fault_has_its_position_and_a_correction() {
    for (expression, expected) in [
        ("5/15 * * * *", "character 1: minute `5/15`: a step needs a range: write `5-59/15`"),
        ("0 25 * * *", "character 3: hour `25`: write a number from 0 to 23, a range such as `1-5`, `*` or `*/2`"),
        (
            "0 0 1,40 * *",
            "character 7: day of month `40`: write a number from 1 to 31, a range such as `1-5`, `*` or `*/2`",
        ),
        ("0 22-2 * * *", "character 3: hour `22-2`: the range is reversed: write `22-23,0-2`"),
        ("0 0 * * FRI-MON", "character 9: weekday `FRI-MON`: the range is reversed: write `5-6,0-1`"),
        ("0 0 * * MOM", "character 9: weekday `MOM`: did you mean `MON`?"),
        ("*/90 * * * *", "character 1: minute `*/90`: a step of 90 exceeds the range: write at most 59 after `/`"),
        ("*/0 * * * *", "character 1: minute `*/0`: a step of 0 is not valid: write 1 or more"),
        (
            "0 0 L-3 * *",
            "character 5: day of month `L-3`: days counted from the last are not supported: write `L` for the last day, or days",
        ),
        (
            "0 0 * * L",
            "character 9: weekday `L`: the weekday is missing: write one, such as `5L` for the last Friday of the month",
        ),
        (
            "0 0 * *",
            "character 7: 4 fields found: write five (minute hour day month weekday), or six with the seconds first",
        ),
        (
            "0 0 * * * * 2026",
            "character 13: 7 fields found: write five (minute hour day month weekday), or six with the seconds first",
        ),
        ("", "character 1: 0 fields found: write five (minute hour day month weekday), or six with the seconds first"),
        ("0 0 31 2 *", "character 5: never fires: these months have no such day"),
        ("@reboot", "character 1: unknown name `@reboot`: write `on_start(|| …)` to run a handler when rhaid starts"),
        (" @dayly", "character 2: unknown name `@dayly`: did you mean `@daily`?"),
        ("é * * * *", "character 1: minute `é`: write a number from 0 to 59, a range such as `1-5`, `*` or `*/2`"),
        (
            "1,,2 * * * *",
            "character 3: minute ``: a value is missing between the commas: write a number from 0 to 59, a range such as `1-5`, `*` or `*/2`",
        ),
    ] {
        assert_eq!(fault(expression), expected);
    }
}

#[test]
fn no_text_makes_the_parser_panic() {
    let pieces = ["*", "/", "-", ",", "#", "L", "W", "?", "+", "@", "0", "7", "59", "99999", "FRI", "é", "\u{0}", " "];
    let mut seed = 7_u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..12 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            if seed.is_multiple_of(3) {
                text.push(' ');
            }
        }
        let _ = parse(&text);
    }
}
