//! A Flow and its Works: starting, waiting, failing, trying again, stopping.

mod again;
mod bounds;
mod ends;
mod kinds;
mod shown;
mod turns;

const LIMITS: &str = "timeout = \"2s\"\nmemory = \"64MiB\"\nparallel = 16\n\
     [works.cat]\ncomponent = \"work-cat.wasm\"\n\
     [works.cat1]\ncomponent = \"work-cat-p1.wasm\"\n";
