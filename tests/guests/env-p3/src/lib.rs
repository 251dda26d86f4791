//! Prints its whole environment, one `NAME=VALUE` a line, sorted, then its arguments: WASI 0.3.

use std::fmt::Write;

use wasip3::cli::environment::{get_arguments, get_environment};
use wasip3::cli::stdout::write_via_stream;

struct Env;

wasip3::cli::command::export!(Env);

impl wasip3::exports::cli::run::Guest for Env {
    async fn run() -> Result<(), ()> {
        let mut entries = get_environment();
        entries.sort();
        let mut text = String::new();
        for (name, value) in entries {
            writeln!(text, "{name}={value}").map_err(drop)?;
        }
        for (place, argument) in get_arguments().iter().enumerate() {
            writeln!(text, "argument {place}: {argument}").map_err(drop)?;
        }
        let (mut writer, reader) = wasip3::wit_stream::new();
        let written = write_via_stream(reader);
        let rest = writer.write_all(text.into_bytes()).await;
        drop(writer);
        if rest.is_empty() {
            written.await.map_err(drop)
        } else {
            Err(())
        }
    }
}
