//! `leyden man`: manual pages, of the whole command or one subcommand.

use leyden::app::nearest;

use crate::exit::usage;
use crate::{cli, report};

pub(crate) fn print(words: &[String]) -> anyhow::Result<()> {
    report::print(page(words)?)
}

fn page(words: &[String]) -> anyhow::Result<Vec<u8>> {
    let mut whole = cli::command().disable_help_subcommand(true);
    // Gives each subcommand its whole name.
    whole.build();
    let mut command = &whole;
    for word in words {
        let Some(found) = command.find_subcommand(word) else {
            let known: Vec<_> = command
                .get_subcommands()
                .map(clap::Command::get_name)
                .collect();
            let command = command.get_bin_name().unwrap_or("leyden");
            let hint = match (nearest(word, known.iter().copied()), known.as_slice()) {
                (Some(near), _) => format!("; did you mean `{near}`?"),
                (None, []) => ", which has none".to_owned(),
                (None, known) => format!("; there are {}", known.join(", ")),
            };
            return Err(usage(format!(
                "`{word}` is no command of `{command}`{hint}"
            )));
        };
        command = found;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .source(concat!("leyden ", env!("CARGO_PKG_VERSION")))
        .render(&mut page)?;
    Ok(page)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn text(words: &[&str]) -> anyhow::Result<String> {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        Ok(String::from_utf8(page(&words)?)?)
    }

    #[test]
    fn each_command_has_a_page() {
        assert!(text(&[]).unwrap().contains(".TH leyden 1"));
        let page = text(&["run", "app"]).unwrap();
        assert!(page.contains(".TH leyden-run-app 1"), "{page}");
        assert!(page.contains("allow\\-host"), "{page}");
    }

    #[test]
    fn a_wrong_command_is_told_its_neighbour() {
        let error = text(&["secret", "crate"]).unwrap_err().to_string();
        assert!(error.contains("did you mean `create`?"), "{error}");
    }
}
