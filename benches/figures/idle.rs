//! Memory and CPU time of rhaid at rest, with the shipped scripts and the embedded broker.

use std::time::Duration;

use crate::folder;
use crate::program;

pub(crate) fn measure() {
    let scripts =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts")).expect("the scripts folder exists");
    let scripts = scripts
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, std::fs::read_to_string(entry.path()).ok()?)));
    let place = folder::folder(scripts);
    let rhaid = program::Program::start(place.path());
    std::thread::sleep(Duration::from_secs(5));
    let (before, rest) = (cpu_time(rhaid.id()), Duration::from_secs(60));
    std::thread::sleep(rest);
    let share = (cpu_time(rhaid.id()) - before) as f64 / rest.as_nanos() as f64 * 100.0;
    println!("idle: {} KiB resident, {share:.3} % of one core over {} s", rhaid.resident(), rest.as_secs());
}

/// Returns the CPU time of all threads of a process so far, in nanoseconds.
///
/// Source: the kernel's documentation of the scheduler, "sched-stats", `/proc/pid/schedstat`, first field.
fn cpu_time(process: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("this is Linux");
    let stats = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    stats.filter_map(|stat| stat.split_whitespace().next()?.parse::<u64>().ok()).sum()
}
