//! File systems that do not report every change, since other machines change their files.

use std::path::{Path, PathBuf};

/// Returns whether a path is on a network or virtual machine mount, whose changes may cause no events.
///
/// Source: proc_pid_mountinfo(5).
pub(super) fn misses_events(path: &Path) -> bool {
    std::fs::read_to_string("/proc/self/mountinfo").is_ok_and(|mounts| misses_events_among(&mounts, path))
}

fn misses_events_among(mounts: &str, path: &Path) -> bool {
    let nearest = mounts
        .lines()
        .filter_map(|line| {
            let (place, kind) = line.split_once(" - ")?;
            let point = PathBuf::from(unescape(place.split(' ').nth(4)?));
            let kind = kind.split(' ').next()?;
            path.starts_with(&point).then(|| (point.components().count(), is_remote(kind)))
        })
        // The last of several mounts on one mount point is the visible one.
        .max_by_key(|(depth, _)| *depth);
    nearest.is_some_and(|(_, is_remote)| is_remote)
}

fn is_remote(kind: &str) -> bool {
    const KINDS: &[&str] = &[
        "9p",
        "afs",
        "ceph",
        "cifs",
        "fakeowner",
        "fuseblk",
        "fuse",
        "gfs2",
        "grpcfuse",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "osxfs",
        "prl_fs",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
        "vmhgfs",
        "glusterfs",
    ];
    KINDS.contains(&kind) || kind.starts_with("fuse.")
}

/// Replaces octal escapes such as `\040`.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(char::from(byte));
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_point_applies() {
        let mounts = "22 1 0:21 / / rw - overlay overlay rw\n\
                      30 22 0:40 / /mnt/my\\040share rw,relatime shared:1 - nfs4 server:/x rw\n\
                      31 30 0:41 / /mnt/my\\040share/local rw - ext4 /dev/sda1 rw\n\
                      32 22 0:42 / /mnt/s3 rw - fuse.s3fs s3fs rw";
        let misses_events = |path| misses_events_among(mounts, Path::new(path));
        assert!(misses_events("/mnt/my share/scripts"));
        assert!(misses_events("/mnt/s3"));
        assert!(!misses_events("/mnt/my share/local/scripts"));
        assert!(!misses_events("/mnt/my shared"));
        assert!(!misses_events("/home"));
    }
}
