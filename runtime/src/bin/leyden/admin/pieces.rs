//! Small pieces that pages are made of: times, tables' cells, command lines, and texts for addresses
//! and shells.

use std::fmt::Display;

use jiff::Timestamp;
use maud::{Markup, html};

/// A moment: how long ago, and exactly on hover, or for whoever has [`exact_times`] shown.
pub(super) fn time(moment: Timestamp) -> Markup {
    let exact = crate::report::time(moment);
    html! {
        time datetime=(moment.strftime("%Y-%m-%dT%H:%M:%SZ")) title=(exact) {
            span.ago { (relative(moment, Timestamp::now())) } " " span.exact { (exact) }
        }
    }
}

/// What has the style sheet show exact times: whoever uses keys or a finger cannot hover.
pub(super) fn exact_times() -> Markup {
    html! {
        label.exact-times { input type="checkbox" id="exact-times" autocomplete="off"; "Exact times" }
    }
}

/// How far a moment is from now, in one unit; `script.js` counts on in the same way.
fn relative(moment: Timestamp, now: Timestamp) -> String {
    let seconds = moment.as_second() - now.as_second();
    let (count, unit) = match seconds.unsigned_abs() {
        0..10 => return "just now".to_owned(),
        away @ 10..60 => (away, "second"),
        away @ 60..3_600 => (away / 60, "minute"),
        away @ 3_600..86_400 => (away / 3_600, "hour"),
        away @ 86_400..5_184_000 => (away / 86_400, "day"),
        away @ 5_184_000..63_072_000 => (away / 2_592_000, "month"),
        away => (away / 31_536_000, "year"),
    };
    let plural = if count == 1 { "" } else { "s" };
    match seconds < 0 {
        true => format!("{count} {unit}{plural} ago"),
        false => format!("in {count} {unit}{plural}"),
    }
}

/// A command line, with a button that copies it.
pub(super) fn command(line: &str) -> Markup {
    html! {
        div.command {
            code tabindex="0" { (line) }
            button.quiet.copy type="button" hidden data-copy=(line) { "Copy" }
        }
    }
}

/// An error's text as a sentence of a page: the command writes it behind its own name.
pub(super) fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters
        .next()
        .map(|first| first.to_uppercase().to_string());
    let mut sentence = first.unwrap_or_default() + characters.as_str();
    if !sentence.ends_with(['.', '?', '!']) {
        sentence.push('.');
    }
    sentence
}

/// What stands where there is nothing yet, and what to do next.
pub(super) fn empty(title: &str, content: Markup) -> Markup {
    html! { div.empty { h2 { (title) } (content) } }
}

/// A cell of a table, which names its column where the table is too narrow for columns.
pub(super) fn cell(column: &str, content: Markup) -> Markup {
    html! { td data-label=(column) { div { (content) } } }
}

/// A word that tells a state by its colour, too.
pub(super) fn badge(kind: &str, text: impl Display) -> Markup {
    html! { span class=(format!("badge {kind}")) { (text) } }
}

/// A digest, short; whole on hover.
pub(super) fn digest(digest: &str) -> Markup {
    const SHOWN: usize = "sha256:".len() + 12;
    html! { code.digest title=(digest) { (digest.get(..SHOWN).unwrap_or(digest)) } }
}

/// Text within a path or query of an address.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_in_one_unit() {
        let now = Timestamp::from_second(1_000_000_000).unwrap_or_default();
        let at = |seconds: i64| Timestamp::from_second(1_000_000_000 + seconds).unwrap_or_default();
        for (seconds, told) in [
            (0, "just now"),
            (-9, "just now"),
            (-10, "10 seconds ago"),
            (-60, "1 minute ago"),
            (-7_200, "2 hours ago"),
            (86_400 * 3, "in 3 days"),
            (-86_400 * 90, "3 months ago"),
            (-86_400 * 800, "2 years ago"),
        ] {
            assert_eq!(relative(at(seconds), now), told);
        }
    }

    #[test]
    fn an_error_becomes_a_sentence() {
        for (text, shown) in [
            ("there is none", "There is none."),
            ("`a` is bad; did you mean b?", "`a` is bad; did you mean b?"),
            ("Done.", "Done."),
        ] {
            assert_eq!(sentence(text), shown);
        }
    }

    #[test]
    fn text_stays_within_its_part_of_an_address() {
        assert_eq!(encoded("a/../b?c=d&e#ü"), "a%2F..%2Fb%3Fc%3Dd%26e%23%C3%BC");
    }
}
