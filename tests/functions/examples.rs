//! Every example in the reference runs, and is true.

use std::time::Duration;

use rhaid::functions::reference::reference;

use super::world::World;

#[test]
fn every_example_runs_and_is_true() {
    let world = World::new();
    let wrong: Vec<_> = reference()
        .iter()
        .filter_map(|entry| {
            // What one example remembers is not there for the next: nothing is committed.
            let context = world.context(Duration::from_secs(60));
            let ended = world.run_in(entry.example.as_deref()?, &context);
            world.sweep();
            ended.err().map(|why| format!("{}: {why}", entry.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
