//! Benchmarks for the figures of the book's page of benchmarks: `cargo bench`, or `cargo bench -- NAME` for one of them.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod beat;
mod call;
mod folder;
mod history;
mod http;
mod idle;
mod in_process;
mod many;
mod mqtt;
mod program;
mod reload;

use rhaid::memory::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() {
    let named: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| named.is_empty() || named.iter().any(|wanted| wanted == name);
    let runtime = tokio::runtime::Runtime::new().expect("there are threads");
    if is_wanted("call") {
        call::measure();
    }
    if is_wanted("reload") {
        runtime.block_on(reload::measure());
    }
    if is_wanted("beat") {
        runtime.block_on(beat::measure());
    }
    if is_wanted("http") {
        runtime.block_on(http::measure());
    }
    if is_wanted("mqtt") {
        runtime.block_on(mqtt::measure());
    }
    if is_wanted("many") {
        many::measure();
    }
    if is_wanted("history") {
        runtime.block_on(history::measure());
    }
    if is_wanted("idle") {
        idle::measure();
    }
}
