//! A file system that is full: what could not be written is told, what was confirmed stays, and work goes on when there is room.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{Home, Process};

const WORK: &str = r#"
webhook("count", #{ methods: ["GET"], public: true }, |request| { state.add("n", 1); state.twin = state.n; state.n });
webhook("grow", #{ methods: ["GET"], public: true }, |request| {
    let much = "";
    much.pad(1_000_000, "x");
    state.add("n", 1);
    state.much = `${state.n} ${much}`;
    timer_start("never set", "1h");
    state.n
});
webhook("look", #{ methods: ["GET"], public: true }, |request|
    `${state.n} ${state.twin} ${type_of(timer_left("set"))} ${type_of(timer_left("never set"))}`);
webhook("set", #{ methods: ["GET"], public: true }, |request| { timer_start("set", "1h"); "set" });
webhook("send", #{ methods: ["GET"], public: true }, |request| {
    let much = "";
    much.pad(1_000_000, "x");
    mqtt_publish("much", much, #{ qos: 1, broker: "away" });
    "sent"
});
on_timer("set", || ());
on_timer("never set", || ());
"#;

/// A small file system in memory, gone when dropped.
struct Small(PathBuf);

impl Small {
    /// Mounts it on a folder; `None` where one may not.
    fn mount(folder: &Path) -> Option<Self> {
        fs::create_dir(folder).unwrap();
        let options = ["-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs"];
        let mounted = Command::new("mount").args(options).arg(folder).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }

    /// Leaves no room.
    fn fill(&self) {
        let mut ballast = File::create(self.0.join("ballast")).unwrap();
        while ballast.write_all(&[0; 4_096]).is_ok() {}
    }

    /// Makes room again.
    fn empty(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

/// Counts until a count is confirmed, and returns it.
fn count(process: &mut Process) -> u64 {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(count) = process.ask("count") {
            return count.parse().unwrap();
        }
        assert!(Instant::now() < until, "no work though there is room: {}", process.said());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_full_file_system_is_told_loses_nothing_confirmed_and_holds_up_nothing_once_there_is_room() {
    let home = Home::new(&[("work.rhai", WORK)]);
    fs::write(home.path().join("rhaid.yaml"), "mqtt: { brokers: { away: { url: \"mqtt://127.0.0.1:1\" } } }").unwrap();
    let Some(disk) = Small::mount(&home.path().join(".rhaid")) else {
        eprintln!("not tested: no file system can be mounted here; the store's tests bound its file instead");
        return;
    };
    let mut process = home.start();
    assert_eq!(process.ask("set").as_deref(), Some("set"));
    let mut confirmed = 0;
    for _ in 0..3 {
        confirmed = count(&mut process);
        disk.fill();
        assert_eq!(process.ask("grow"), None, "a megabyte was confirmed where there is no room");
        process.expect("the disk is full");
        assert_eq!(process.ask("send"), None, "a message counted as sent that is nowhere");
        process.expect("the published messages could not be stored");
        // A little may still go into the room that the database has.
        let more = std::iter::from_fn(|| process.ask("count")).take(20).last();
        confirmed = more.map_or(confirmed, |count| count.parse().unwrap());
        let looked = process.ask("look");
        assert_eq!(looked, Some(format!("{confirmed} {confirmed} f64 ()")), "reading needs no room");
        disk.empty();
        assert_eq!(count(&mut process), confirmed + 1);
        assert_eq!(process.ask("send").as_deref(), Some("sent"));
    }
    disk.fill();
    assert_eq!(process.ask("grow"), None);
    process.kill();
    let kept = Some(format!("{0} {0} f64 ()", confirmed + 1));
    let mut process = home.start();
    assert_eq!(process.ask("look"), kept, "it starts also where there is no room");
    assert_eq!(process.ask("grow"), None);
    process.expect("the disk is full");
    process.kill();
    disk.empty();
    let mut process = home.start();
    assert_eq!(process.ask("look"), kept);
    assert_eq!(process.ask("grow"), Some((confirmed + 2).to_string()));
}
