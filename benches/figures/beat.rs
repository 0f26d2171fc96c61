//! A thousand `every("1s")` handlers due at once: the time between the first and the last of each beat.

use std::collections::BTreeMap;
use std::time::Duration;

use rhaid::services::store::RunQuery;

use crate::folder;
use crate::in_process;

const HANDLERS: usize = 1_000;
const BEATS: usize = 10;

pub(crate) async fn measure() {
    let script = (0..HANDLERS).map(|n| format!("every(\"1s\", #{{ name: \"n{n}\" }}, || ());\n")).collect::<String>();
    let place = folder::folder([("beat.rhai".to_owned(), script)]);
    let runtime = in_process::start(place.path()).await;
    tokio::time::sleep(Duration::from_millis(1_000 * BEATS as u64 + 500)).await;
    runtime.stop().await;
    let query = RunQuery { limit: HANDLERS * BEATS, ..RunQuery::default() };
    let runs = runtime.runs(query).await.expect("the store is in memory");
    let mut beats: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    let ms = |time: jiff::Timestamp| time.as_microsecond() as f64 / 1e3;
    // The n-th run of each trigger belongs to the n-th beat.
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for run in runs.iter().rev() {
        let beat = counts.entry(run.trigger.clone()).and_modify(|count| *count += 1).or_insert(1);
        if let Some(started) = run.started {
            beats.entry(format!("{beat:03}")).or_default().push((ms(run.queued), ms(started)));
        }
    }
    let spread = |pick: fn(&(f64, f64)) -> f64, beat: &[(f64, f64)]| {
        let times = || beat.iter().map(pick);
        times().fold(f64::MIN, f64::max) - times().fold(f64::MAX, f64::min)
    };
    let full = || beats.values().filter(|beat| beat.len() == HANDLERS);
    let mut fired: Vec<_> = full().map(|beat| spread(|times| times.0, beat)).collect();
    let mut started: Vec<_> = full().map(|beat| spread(|times| times.1, beat)).collect();
    if fired.is_empty() {
        return println!("beat: no beat was complete: {} runs", runs.len());
    }
    let [fired, started] = [&mut fired, &mut started].map(|spreads| in_process::percentile(spreads, 50));
    println!(
        "beat: {HANDLERS} handlers fired within {fired:.1} ms, started within {started:.1} ms (median of the beats)"
    );
}
