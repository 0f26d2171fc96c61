//! A full file system: failed writes are reported, acknowledged data is kept, and work continues when there is space again.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{Home, Process};

const WORK: &str = r#"
webhook("count", #{ methods: ["GET"], public: true }, |request| { state.add("n", 1); state.twin = state.n; state.n });
webhook("grow", #{ methods: ["GET"], public: true }, |request| {
    let text = "";
    text.pad(1_000_000, "x");
    state.add("n", 1);
    state.text = `${state.n} ${text}`;
    timer_start("never set", "1h");
    state.n
});
webhook("look", #{ methods: ["GET"], public: true }, |request|
    `${state.n} ${state.twin} ${type_of(timer_left("set"))} ${type_of(timer_left("never set"))}`);
webhook("set", #{ methods: ["GET"], public: true }, |request| { timer_start("set", "1h"); "set" });
webhook("send", #{ methods: ["GET"], public: true }, |request| {
    let text = "";
    text.pad(1_000_000, "x");
    mqtt_publish("large", text, #{ qos: 1, broker: "offline" });
    "sent"
});
on_timer("set", || ());
on_timer("never set", || ());
"#;

/// A small tmpfs mount; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts the file system on a folder; `None` without the privilege to mount.
    fn mount(folder: &Path) -> Option<Self> {
        fs::create_dir(folder).unwrap();
        let options = ["-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs"];
        let mounted = Command::new("mount").args(options).arg(folder).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }

    /// Fills the file system.
    fn fill(&self) {
        let mut ballast = File::create(self.0.join("ballast")).unwrap();
        while ballast.write_all(&[0; 4_096]).is_ok() {}
    }

    /// Frees the space again.
    fn empty(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

/// Sends requests until one run is acknowledged; returns its count.
fn count(process: &mut Process) -> u64 {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(count) = process.get("count") {
            return count.parse().unwrap();
        }
        assert!(Instant::now() < until, "no run succeeds despite free space: {}", process.output());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_full_disk_is_reported_and_loses_no_acknowledged_data() {
    let home = Home::new(&[("work.rhai", WORK)]);
    fs::write(home.path().join("rhaid.yaml"), "mqtt: { brokers: { offline: { url: \"mqtt://127.0.0.1:1\" } } }")
        .unwrap();
    let Some(disk) = SmallDisk::mount(&home.path().join(".rhaid")) else {
        eprintln!(
            "skipped: no permission to mount a file system; the store's tests limit the size of its file instead"
        );
        return;
    };
    let mut process = home.start();
    assert_eq!(process.get("set").as_deref(), Some("set"));
    let mut acknowledged = 0;
    for _ in 0..3 {
        acknowledged = count(&mut process);
        disk.fill();
        assert_eq!(process.get("grow"), None, "a megabyte was acknowledged on a full disk");
        process.expect("the disk is full");
        assert_eq!(process.get("send"), None, "a message was acknowledged that is not stored");
        process.expect("the published messages could not be stored");
        // Small writes may still fit into free pages of the database.
        let more = std::iter::from_fn(|| process.get("count")).take(20).last();
        acknowledged = more.map_or(acknowledged, |count| count.parse().unwrap());
        let response = process.get("look");
        assert_eq!(response, Some(format!("{acknowledged} {acknowledged} f64 ()")), "reads need no free space");
        disk.empty();
        assert_eq!(count(&mut process), acknowledged + 1);
        assert_eq!(process.get("send").as_deref(), Some("sent"));
    }
    disk.fill();
    assert_eq!(process.get("grow"), None);
    process.kill();
    let stored = Some(format!("{0} {0} f64 ()", acknowledged + 1));
    let mut process = home.start();
    assert_eq!(process.get("look"), stored, "rhaid starts on a full disk");
    assert_eq!(process.get("grow"), None);
    process.expect("the disk is full");
    process.kill();
    disk.empty();
    let mut process = home.start();
    assert_eq!(process.get("look"), stored);
    assert_eq!(process.get("grow"), Some((acknowledged + 2).to_string()));
}
