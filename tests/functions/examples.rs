//! The examples of the function reference run and hold.

use std::time::Duration;

use rhaid::functions::reference::reference;

use super::fixture::Fixture;

#[test]
fn every_example_runs_and_its_assertions_hold() {
    let fixture = Fixture::new();
    let wrong: Vec<_> = reference()
        .iter()
        .filter_map(|entry| {
            // Nothing is committed, so examples do not see each other's state.
            let context = fixture.context(Duration::from_secs(60));
            let result = fixture.run_in(entry.example.as_deref()?, &context);
            fixture.remove_notes();
            result.err().map(|why| format!("{}: {why}", entry.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
