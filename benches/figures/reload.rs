//! The time from the write of a file to the new behaviour.

use std::time::Instant;

use crate::folder;
use crate::in_process;

const ROUNDS: usize = 60;

pub(crate) async fn measure() {
    let script = |round: usize| format!("on_start(|| print(\"round {round}\"));\n");
    let place = folder::folder([("a.rhai".to_owned(), script(0))]);
    let runtime = in_process::start(place.path()).await;
    let mut log = runtime.logs();
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        let start = Instant::now();
        std::fs::write(place.path().join("scripts/a.rhai"), script(round)).expect("the folder is ours");
        while log.recv().await.expect("it runs").text != format!("round {round}") {}
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let [median, most] = [50, 95].map(|percent| in_process::percentile(&mut times, percent));
    println!("reload: median {median:.1} ms, 95 % within {most:.1} ms, of {ROUNDS}");
    runtime.stop().await;
}
