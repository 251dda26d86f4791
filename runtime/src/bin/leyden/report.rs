//! What is printed for people and for programs: tables, JSON, and text made safe for a terminal.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use jiff::Timestamp;
use leyden::sandbox::Failure;
use leyden::secrets::Verified;
use serde::Serialize;

use crate::exit;

/// How a command reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Writes to standard output, all of it or an error. A reader that went away is
/// [`exit::Failure::OutputClosed`].
pub(crate) fn print(bytes: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(bytes.as_ref())
        .and_then(|()| stdout.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => exit::Failure::OutputClosed.into(),
        _ => anyhow::Error::new(error).context("cannot write to standard output"),
    })
}

/// One line for people.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    print(printable(text) + "\n")
}

/// One JSON document for programs.
pub(crate) fn json(document: &impl Serialize) -> anyhow::Result<()> {
    print(serde_json::to_string_pretty(document)? + "\n")
}

/// Whether colours and other styles go to standard output (<https://no-color.org>).
pub(crate) fn styled() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

/// The narrowest terminal, in characters, that tables are fitted to.
const MIN_WIDTH: u16 = 60;

/// A table for people: columns without lines, so that tools of the shell can cut it, too.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [Cell; N]>,
) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    // A terminal too narrow for columns, or of unknown size (0), wraps lines by itself.
    if io::stdout().is_terminal() && table.width().is_some_and(|width| width >= MIN_WIDTH) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    if !styled() {
        table.force_no_tty();
    }
    table.set_header(header.map(|name| Cell::new(name).add_attribute(Attribute::Bold)));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    print(table.trim_fmt() + "\n")
}

/// A cell of a table.
pub(crate) fn cell(text: impl ToString) -> Cell {
    Cell::new(in_line(text))
}

/// A text within a line, whatever was called so.
pub(crate) fn in_line(text: impl ToString) -> String {
    printable(&text.to_string()).replace('\n', "\\n")
}

/// The most that a line for people has of how a Work failed, in bytes. Its own error may be long.
const MAX_FAILURE: usize = 500;

/// How a Work failed, for a line: where it is cut, with where all of it can be read.
pub(crate) fn failure(failure: &Failure) -> String {
    let mut text = failure.to_string();
    let all = text.len();
    if all > MAX_FAILURE {
        text.truncate(text.floor_char_boundary(MAX_FAILURE));
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "… (all {all} bytes: leyden runs show RUN --output json)"
        );
    }
    printable(&text.replace('\n', " "))
}

/// A moment as tables show it: UTC, to the second.
pub(crate) fn time(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Text that cannot drive a terminal: control characters but the line end, and those that turn or
/// hide the text around them, are escaped. Names of apps and files come from anybody.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '\n' && (character.is_control() || turns_or_hides(character)) {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
        } else {
            out.push(character);
        }
    }
    out
}

/// Unicode's format characters that matter on a terminal: zero width, direction, separators.
fn turns_or_hides(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

/// A number of things, as people say it.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// A span of time: `30 days`, `1h 30m`.
pub(crate) fn span(span: Duration) -> String {
    let written = humantime::format_duration(span).to_string();
    let part = |part: &str| {
        let digits = part.trim_end_matches(char::is_alphabetic);
        match part.strip_prefix(digits) {
            // A word, and no unit's sign.
            Some(word) if word.len() > 2 => format!("{digits} {word}"),
            _ => part.to_owned(),
        }
    };
    written.split(' ').map(part).collect::<Vec<_>>().join(" ")
}

/// What was verified.
pub(crate) fn verified(verified: &Verified) -> String {
    format!(
        "{} with {}, {}",
        counted(verified.secrets, "secret"),
        counted(verified.versions, "version"),
        counted(verified.audit_records, "audit record")
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\u{1b}[2J\tb\nc"), "a\\u{1b}[2J\\u{9}b\nc");
        assert_eq!(printable("\u{9b}\u{202e}é"), "\\u{9b}\\u{202e}é");
    }

    #[test]
    fn a_span_of_time_is_told_in_words_and_signs() {
        for (seconds, told) in [
            (0, "0s"),
            (86_400, "1 day"),
            (30 * 86_400, "30 days"),
            (2 * 86_400 + 5400, "2 days 1h 30m"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), told);
        }
        assert_eq!(span(Duration::from_millis(1500)), "1s 500ms");
    }

    #[test]
    fn a_long_failure_is_cut_to_a_line_that_says_where_the_rest_is() {
        let of = |error: &str| failure(&Failure::Error(error.into()));
        assert_eq!(of("one\ntwo\u{1b}"), "it returned an error: one two\\u{1b}");
        let cut = of(&"ä\n".repeat(30_000));
        assert!(cut.len() < MAX_FAILURE + 100, "{cut}");
        assert!(!cut.contains('\n'));
        assert!(
            cut.ends_with("ä … (all 90022 bytes: leyden runs show RUN --output json)"),
            "{cut}"
        );
    }

    proptest! {
        #[test]
        fn nothing_printable_drives_a_terminal(text: String) {
            let out = printable(&text);
            prop_assert!(!out.chars().any(|c| c.is_control() && c != '\n'));
            prop_assert!(!out.chars().any(turns_or_hides));
            if !text.chars().any(|c| c.is_control() || turns_or_hides(c)) {
                prop_assert_eq!(out, text);
            }
        }
    }
}
