//! Every example in the reference runs, and is true.

use std::time::Duration;

use rhaid::functions::reference::reference;

use super::fixture::Fixture;

#[test]
fn every_example_runs_and_is_true() {
    let fixture = Fixture::new();
    let wrong: Vec<_> = reference()
        .iter()
        .filter_map(|entry| {
            // What one example remembers is not there for the next: nothing is committed.
            let context = fixture.context(Duration::from_secs(60));
            let ended = fixture.run_in(entry.example.as_deref()?, &context);
            fixture.sweep();
            ended.err().map(|why| format!("{}: {why}", entry.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
