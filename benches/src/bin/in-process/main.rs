//! `in-process WHAT ...`: what is measured of Leyden and of others in turn, in one process. One program
//! for all of it, because optimising one whole program takes minutes.
#![allow(clippy::print_stdout, reason = "its result is what it prints")]

mod instances;
mod sleepers;
mod store;
mod works;

fn main() -> wasmtime::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((what, rest)) if what == "instances" => instances::measure(rest),
        Some((what, rest)) if what == "sleepers" => sleepers::measure(rest),
        Some((what, rest)) if what == "store" => store::measure(rest),
        Some((what, rest)) if what == "works" => works::measure(rest),
        _ => wasmtime::bail!("instances, sleepers, store or works is expected"),
    }
}
