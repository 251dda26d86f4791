//! "Did you mean": the nearest known name, and typed text made fit to be shown.

use std::fmt::Write as _;
use std::path::Path;

/// The candidate nearest to what was typed, if one is near enough to be what was meant.
///
/// Case and the difference between `_` and `-` do not count; of the rest, a third may differ.
pub fn nearest<'c>(typed: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // Edit distance is quadratic, and nothing this long is a slip of the finger.
    const LONGEST: usize = 256;
    let fold = |text: &str| text.to_lowercase().replace('_', "-");
    if typed.is_empty() || typed.len() > LONGEST {
        return None;
    }
    let typed = fold(typed);
    let allowed = (typed.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&typed, &fold(candidate)),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// ` (did you mean …?)`, or nothing.
pub(super) fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

/// Typed text as it may stand in a message: control characters escaped, and not endless.
pub(super) fn shown(typed: &str) -> String {
    const LONGEST: usize = 64;
    let mut out = String::from("`");
    for (count, character) in typed.chars().enumerate() {
        if count == LONGEST {
            out.push('…');
            break;
        }
        out.push_str(&shown_char(character));
    }
    out.push('`');
    out
}

/// A path as it may stand in a message: its name may have been given by anybody, and a line end in
/// it would begin a line of ours.
pub(crate) fn shown_path(path: &Path) -> String {
    path.to_string_lossy().chars().map(shown_char).collect()
}

/// One character as it may stand in a message.
pub(super) fn shown_char(character: char) -> String {
    let mut out = String::new();
    if character.is_control() || is_invisible(character) {
        // Writing to a string cannot fail.
        let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
    } else {
        out.push(character);
    }
    out
}

/// Characters that show as nothing, or turn the text around them (Unicode's format characters
/// that matter on a terminal).
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{a0}'
            | '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202f}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    )
}

/// A word as a shell takes it, in one line.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if !word.contains(|c: char| c.is_control() || is_invisible(c)) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let escaped = |c: char| match c {
        '\'' | '\\' => format!("\\{c}"),
        c if c.is_control() || is_invisible(c) => format!("\\U{:08x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("$'{}'", word.chars().map(escaped).collect::<String>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_word_for_a_shell() {
        for (word, shown) in [
            ("a=b@3", "a=b@3"),
            ("", "''"),
            ("my app", "'my app'"),
            ("it's $HOME", r"'it'\''s $HOME'"),
            ("a\nit's \\", r"$'a\U0000000ait\'s \\'"),
        ] {
            assert_eq!(shell_word(word), shown);
        }
        let odd = "a\n'b'\u{202e}\\n $(id) \u{1b}[m";
        let script = format!("printf %s {}", shell_word(odd));
        let bash = std::process::Command::new("bash")
            .args(["-c", &script])
            .output();
        assert_eq!(bash.unwrap().stdout, odd.as_bytes());
    }

    #[test]
    fn nearest_finds_slips_and_leaves_strangers() {
        let keys = ["component", "timeout", "memory", "secrets"];
        assert_eq!(nearest("secert", keys), Some("secrets"));
        assert_eq!(nearest("Timeout", keys), Some("timeout"));
        assert_eq!(nearest("time_out", keys), Some("timeout"));
        assert_eq!(nearest("zebra", keys), None);
        assert_eq!(nearest("", keys), None);
        assert_eq!(nearest(&"m".repeat(10_000), keys), None);
    }

    #[test]
    fn shown_text_cannot_drive_a_terminal_and_ends() {
        assert_eq!(shown("a\u{1b}[2J\u{202e}"), "`a\\u{1b}[2J\\u{202e}`");
        assert_eq!(shown(&"x".repeat(1000)).chars().count(), 67);
    }
}
