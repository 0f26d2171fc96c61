//! Sunrise and sunset.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A crossing of the horizon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Crossing {
    /// Sunrise.
    Rise,
    /// Sunset.
    Set,
}

/// Altitude of the sun's centre at sunrise and sunset, in degrees: 34' of refraction and 16' of radius.
const HORIZON: f64 = -0.833;

/// Number of iterations with the sun's position at the computed moment; each one gains about two digits.
const ITERATIONS: usize = 4;

/// Returns sunrise or sunset at a location (degrees, north and east positive) on a day in a time zone, accurate to about one minute.
///
/// `None` during polar day or polar night.
///
/// Source: NOAA Global Monitoring Laboratory, "Solar Calculation Details", after Meeus, Astronomical Algorithms, chapters 25 and 28.
pub fn crossing(
    crossing: Crossing,
    day: Date,
    (latitude, longitude): (f64, f64),
    zone: &TimeZone,
) -> Option<Timestamp> {
    let noon = noon(day, longitude, zone)?;
    let mut moment = noon;
    for _ in 0..ITERATIONS {
        let sun = Sun::at(moment);
        let (declination, latitude) = (sun.declination.to_radians(), latitude.to_radians());
        let cosine =
            (HORIZON.to_radians().sin() - latitude.sin() * declination.sin()) / (latitude.cos() * declination.cos());
        if !(-1.0..=1.0).contains(&cosine) {
            return None;
        }
        let hours = cosine.acos().to_degrees() / 15.0;
        let offset = if crossing == Crossing::Rise { -hours } else { hours };
        // The equation of time changes by less than half a minute over a day; take it at the crossing.
        let noon = transit(noon, longitude, sun.equation_minutes)?;
        moment = noon.checked_add(SignedDuration::from_secs_f64(offset * 3_600.0)).ok()?;
    }
    Some(moment)
}

/// Returns solar noon on a day in a time zone.
fn noon(day: Date, longitude: f64, zone: &TimeZone) -> Option<Timestamp> {
    let clock_noon = day.at(12, 0, 0, 0).to_zoned(zone.clone()).ok()?.timestamp();
    transit(clock_noon, longitude, Sun::at(clock_noon).equation_minutes)
}

/// Returns the solar noon nearest to a moment.
fn transit(near: Timestamp, longitude: f64, equation_minutes: f64) -> Option<Timestamp> {
    const DAY_MINUTES: f64 = 1_440.0;
    let minutes = near.as_second().rem_euclid(86_400) as f64 / 60.0;
    let noon = 720.0 - 4.0 * longitude - equation_minutes;
    let away = (noon - minutes + DAY_MINUTES / 2.0).rem_euclid(DAY_MINUTES) - DAY_MINUTES / 2.0;
    near.checked_add(SignedDuration::from_secs_f64(away * 60.0)).ok()
}

/// The geocentric position of the sun.
struct Sun {
    /// Degrees north of the celestial equator.
    declination: f64,
    /// The equation of time: apparent solar time minus mean solar time, in minutes.
    equation_minutes: f64,
}

impl Sun {
    fn at(moment: Timestamp) -> Self {
        // Julian centuries since 2000-01-01 12:00.
        let t = (moment.as_millisecond() as f64 / 86_400_000.0 + 2_440_587.5 - 2_451_545.0) / 36_525.0;
        let mean_longitude = (280.466_46 + t * (36_000.769_83 + t * 0.000_303_2)).rem_euclid(360.0);
        let anomaly = (357.529_11 + t * (35_999.050_29 - 0.000_153_7 * t)).to_radians();
        let eccentricity = 0.016_708_634 - t * (0.000_042_037 + 0.000_000_126_7 * t);
        let center = anomaly.sin() * (1.914_602 - t * (0.004_817 + 0.000_014 * t))
            + (2.0 * anomaly).sin() * (0.019_993 - 0.000_101 * t)
            + (3.0 * anomaly).sin() * 0.000_289;
        let node = (125.04 - 1_934.136 * t).to_radians();
        let longitude = (mean_longitude + center - 0.005_69 - 0.004_78 * node.sin()).to_radians();
        let mean_obliquity = 23.0 + (26.0 + (21.448 - t * (46.815 + t * (0.000_59 - t * 0.001_813))) / 60.0) / 60.0;
        let obliquity = (mean_obliquity + 0.002_56 * node.cos()).to_radians();
        let y = (obliquity / 2.0).tan().powi(2);
        let doubled = 2.0 * mean_longitude.to_radians();
        let equation = y * doubled.sin() - 2.0 * eccentricity * anomaly.sin()
            + 4.0 * eccentricity * y * anomaly.sin() * doubled.cos()
            - 0.5 * y * y * (2.0 * doubled).sin()
            - 1.25 * eccentricity * eccentricity * (2.0 * anomaly).sin();
        Self {
            declination: (obliquity.sin() * longitude.sin()).asin().to_degrees(),
            equation_minutes: 4.0 * equation.to_degrees(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_within(which: Crossing, day: &str, place: (f64, f64), zone: &str, expected: &str) {
        let zone = TimeZone::get(zone).unwrap();
        let moment = crossing(which, day.parse().unwrap(), place, &zone).unwrap();
        let expected =
            format!("{day}T{expected}").parse::<jiff::civil::DateTime>().unwrap().to_zoned(zone.clone()).unwrap();
        let apart = moment.duration_since(expected.timestamp()).as_secs().abs();
        assert!(apart <= 90, "{which:?} {day} {place:?}: {} is {apart} s from {expected}", moment.to_zoned(zone));
    }

    #[test]
    fn times_agree_with_an_independent_implementation() {
        // Computed by astral 3.2 for Python.
        for (day, place, zone, rise, set) in [
            ("2024-06-20", (51.5074, -0.1278), "Europe/London", "04:43:21", "21:21:05"),
            ("2024-12-21", (51.5074, -0.1278), "Europe/London", "08:04:21", "15:53:18"),
            ("2024-06-20", (40.7128, -74.006), "America/New_York", "05:25:10", "20:30:22"),
            ("2024-06-21", (59.9139, 10.7522), "Europe/Oslo", "03:54:25", "22:43:21"),
            ("2024-12-21", (-33.8688, 151.2093), "Australia/Sydney", "05:41:07", "20:05:26"),
            ("2024-01-01", (37.322_997_8, -122.032_182_3), "America/Los_Angeles", "07:22:32", "17:00:49"),
        ] {
            assert_within(Crossing::Rise, day, place, zone, rise);
            assert_within(Crossing::Set, day, place, zone, set);
        }
    }

    #[test]
    fn a_polar_day_and_a_polar_night_have_no_crossing() {
        let tromso = (69.6492, 18.9553);
        let zone = TimeZone::get("Europe/Oslo").unwrap();
        for day in ["2024-06-21", "2024-12-21"] {
            for which in [Crossing::Rise, Crossing::Set] {
                assert_eq!(crossing(which, day.parse().unwrap(), tromso, &zone), None, "{day}");
            }
        }
        // The polar night ends about 15 January.
        assert_eq!(crossing(Crossing::Rise, "2024-01-10".parse().unwrap(), tromso, &zone), None);
        assert!(crossing(Crossing::Rise, "2024-01-20".parse().unwrap(), tromso, &zone).is_some());
    }

    #[test]
    fn the_result_is_on_the_given_day_in_every_time_zone() {
        for (name, place) in [
            ("Pacific/Auckland", (-36.85, 174.76)),
            ("Pacific/Kiritimati", (1.87, -157.4)),
            ("America/Los_Angeles", (34.05, -118.24)),
            ("Pacific/Apia", (-13.83, -171.76)),
        ] {
            let zone = TimeZone::get(name).unwrap();
            let day: Date = "2024-03-20".parse().unwrap();
            let [rise, set] = [Crossing::Rise, Crossing::Set]
                .map(|which| crossing(which, day, place, &zone).unwrap().to_zoned(zone.clone()));
            assert_eq!((rise.date(), set.date()), (day, day), "{name}");
            assert!(rise < set);
        }
    }
}
