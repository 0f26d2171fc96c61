//! `limits:`: resources of one run, and lengths of queues.

use std::time::Duration;

use super::section::Section;
use super::value_type::{self, DAY, GIB, HOUR, MIB, MILLISECOND, count};

/// Resource limits of runs, and lengths of queues.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// The timeout of a run.
    pub timeout: Duration,
    /// The timeout of the top level of a script.
    pub load_timeout: Duration,
    /// The maximum number of interpreter operations of a run.
    pub operations: u64,
    /// The maximum memory of a run, in bytes.
    pub memory: u64,
    /// The maximum depth of function calls.
    pub call_depth: usize,
    /// The maximum log output of a run, in bytes.
    pub log: u64,
    /// The maximum size of a script, in bytes.
    pub script_size: u64,
    /// The maximum number of queued events of one script.
    pub queue: usize,
    /// The maximum number of parallel runs of one trigger in mode `parallel`.
    pub parallel: usize,
    /// The maximum number of parallel runs of all scripts.
    pub runs: usize,
    /// How long a shutdown waits for running handlers.
    pub stop: Duration,
    /// The total timeout of an HTTP call.
    pub http_timeout: Duration,
    /// The connect timeout of an HTTP call.
    pub http_connect_timeout: Duration,
    /// The maximum response body after decompression, in bytes.
    pub http_body: u64,
    /// The maximum response body that is saved to a file, after decompression, in bytes.
    pub http_file: u64,
    /// Runs of one script within ten seconds that open its circuit breaker.
    pub breaker: u32,
    /// Consecutive failed runs of one script that open its circuit breaker.
    pub failures: usize,
    /// How long an open circuit breaker pauses a script.
    pub pause: Duration,
}

/// Reads the section.
#[expect(clippy::too_many_lines, reason = "a table, with an entry for each key")]
pub(super) fn read(section: &mut Section<'_>) -> Limits {
    let time = || value_type::duration(MILLISECOND, 365 * DAY);
    Limits {
        timeout: section.value("timeout", "30s", "The timeout of a run.", &time()),
        load_timeout: section.value(
            "load_timeout",
            "5s",
            "The timeout of the top level of a script.",
            &value_type::duration(MILLISECOND, HOUR),
        ),
        operations: section.value(
            "operations",
            "50000000",
            "The maximum number of interpreter operations of a run.",
            &value_type::integer(1_000..=1_000_000_000_000),
        ),
        memory: section.value("memory", "64MiB", "The maximum memory of a run.", &value_type::size(MIB, GIB)),
        call_depth: section.value("call_depth", "32", "The maximum depth of function calls.", &count(1..=128)),
        log: section.value("log", "64KiB", "The maximum log output of a run.", &value_type::size(0, GIB)),
        script_size: section.value(
            "script_size",
            "256KiB",
            "The maximum size of a script.",
            &value_type::size(1, 16 * MIB),
        ),
        queue: section.value(
            "queue",
            "10000",
            "The maximum number of queued events of one script.",
            &count(1..=1_000_000),
        ),
        parallel: section.value(
            "parallel",
            "16",
            "The maximum number of parallel runs of one trigger in mode `parallel`.",
            &count(1..=1_000),
        ),
        runs: section.value("runs", "256", "The maximum number of parallel runs of all scripts.", &count(1..=1_000)),
        stop: section.value(
            "stop",
            "10s",
            "How long a shutdown waits for running handlers.",
            &value_type::duration(Duration::ZERO, HOUR),
        ),
        http_timeout: section.value("http_timeout", "30s", "The total timeout of an HTTP call.", &time()),
        http_connect_timeout: section.value(
            "http_connect_timeout",
            "10s",
            "The connect timeout of an HTTP call.",
            &time(),
        ),
        http_body: section.value(
            "http_body",
            "10MiB",
            "The maximum response body, after decompression.",
            &value_type::size(1 << 10, GIB),
        ),
        http_file: section.value(
            "http_file",
            "1GiB",
            "The maximum response body that a script saves to a file.",
            &value_type::size(1 << 10, 1 << 50),
        ),
        breaker: section.value(
            "breaker",
            "1000",
            "Runs of one script within ten seconds that open its circuit breaker, which pauses the script.",
            &count(1..=1_000_000),
        ) as u32,
        failures: section.value(
            "failures",
            "100",
            "Consecutive failed runs of one script that open its circuit breaker.",
            &count(1..=1_000_000),
        ),
        pause: section.value("pause", "1m", "How long the circuit breaker pauses a script.", &time()),
    }
}
