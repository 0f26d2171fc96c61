//! A thousand scripts: load time and memory.

use std::time::Instant;

use crate::folder;
use crate::program;

const SCRIPTS: usize = 1_000;

pub(crate) fn measure() {
    let script = r#"//! Watches the temperature of a room.
const LIMIT = 21.5;
mqtt_subscribe("room/NUMBER/temperature", |msg| {
    let celsius = msg.json().celsius;
    if celsius > LIMIT { mqtt_publish("room/NUMBER/alarm", `it has ${celsius} degrees`); }
    state.celsius = celsius;
});
cron("0 7 * * *", || print(`it has ${state.celsius} degrees`));
"#;
    let scripts = (0..SCRIPTS).map(|n| (format!("room{n}.rhai"), script.replace("NUMBER", &n.to_string())));
    let place = folder::folder(scripts);
    let empty = folder::folder([]);
    let rhaid = program::Program::start(empty.path());
    let alone = rhaid.resident();
    drop(rhaid);
    for start in ["first start", "second start"] {
        let began = Instant::now();
        let rhaid = program::Program::start(place.path());
        let took = began.elapsed().as_secs_f64() * 1e3;
        let resident = rhaid.resident();
        println!(
            "{SCRIPTS} scripts, {start}: live after {took:.0} ms, {} KiB resident ({alone} KiB without)",
            resident
        );
    }
}
