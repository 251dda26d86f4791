//! Environment files: literal `NAME=VALUE` lines.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::binding::{EnvEntry, EnvValue};
use super::file::read_bounded;
use super::names::{EnvName, NameProblem};
use super::suggest::shown_path;

/// The most bytes an environment file may have: 1 MiB.
pub const MAX_ENV_FILE_BYTES: u64 = 1 << 20;

/// An environment file was refused: which file, which line, why; never what stands there.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {problem}", shown_path(path), Line(*line))]
pub struct EnvFileError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1, if it is about one.
    pub line: Option<usize>,
    /// Why.
    pub problem: EnvFileProblem,
}

struct Line(Option<usize>);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// What is wrong in an environment file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvFileProblem {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(std::io::Error),
    /// It is too large.
    #[error("it is larger than 1 MiB")]
    TooLarge,
    /// A line is not UTF-8.
    #[error("the line is not UTF-8, which an environment must be")]
    NotUtf8,
    /// A line has no `=`.
    #[error(
        "there is no `=`: each line is NAME=VALUE, a comment that starts with `#`, or empty \
         (a value cannot go over several lines)"
    )]
    NoEquals,
    /// There is nothing before the `=`.
    #[error("there is no name before the `=`")]
    NoName,
    /// A line starts with `export`.
    #[error("the file is not a shell script: leave out `export`")]
    Export,
    /// The text before the `=` is no name. It is not shown: it may be part of a value.
    #[error("what stands before the `=` is not an environment name: {0}")]
    Name(NameProblem),
    /// A value contains NUL.
    #[error("the value of `{0}` contains a NUL byte, which an environment cannot hold")]
    Nul(EnvName),
    /// A name stands there twice.
    #[error("`{name}` is already set in line {first}")]
    Duplicate {
        /// The name.
        name: EnvName,
        /// Where it stood first.
        first: usize,
    },
}

/// Reads an environment file. A pipe will do, too (`<(…)` in a shell).
pub(super) fn read_env_file(path: &Path) -> Result<BTreeMap<EnvName, EnvValue>, EnvFileError> {
    let error = |problem| EnvFileError {
        path: path.to_owned(),
        line: None,
        problem,
    };
    let bytes = std::fs::File::open(path)
        .and_then(|file| read_bounded(file, MAX_ENV_FILE_BYTES))
        .map_err(|source| error(EnvFileProblem::Io(source)))?
        .ok_or_else(|| error(EnvFileProblem::TooLarge))?;
    parse_env_file(path, &bytes)
}

/// Reads the text of an environment file; `path` is for messages only.
///
/// Each line is `NAME=VALUE`, a comment (`#` first, blanks before it do not count), or blank. The
/// value is all after the first `=`, exactly: no quotes are removed, nothing is interpolated. The
/// end of a line is LF or CRLF.
///
/// # Errors
/// [`EnvFileError`] with the line.
pub fn parse_env_file(
    path: &Path,
    bytes: &[u8],
) -> Result<BTreeMap<EnvName, EnvValue>, EnvFileError> {
    let error = |line, problem| EnvFileError {
        path: path.to_owned(),
        line,
        problem,
    };
    if bytes.len() as u64 > MAX_ENV_FILE_BYTES {
        return Err(error(None, EnvFileProblem::TooLarge));
    }
    let mut entries = BTreeMap::new();
    let mut lines = BTreeMap::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let error = |problem| error(Some(number), problem);
        let Some(EnvEntry { name, value }) = parse_line(line).map_err(error)? else {
            continue;
        };
        if let Some(first) = lines.insert(name.clone(), number) {
            return Err(error(EnvFileProblem::Duplicate { name, first }));
        }
        entries.insert(name, value);
    }
    Ok(entries)
}

fn parse_line(line: &[u8]) -> Result<Option<EnvEntry>, EnvFileProblem> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = str::from_utf8(line).map_err(|_| EnvFileProblem::NotUtf8)?;
    let start = line.trim_start();
    if start.is_empty() || start.starts_with('#') {
        return Ok(None);
    }
    let (name, value) = line.split_once('=').ok_or(EnvFileProblem::NoEquals)?;
    if name.is_empty() {
        return Err(EnvFileProblem::NoName);
    }
    if name.trim_start().starts_with("export ") {
        return Err(EnvFileProblem::Export);
    }
    let name: EnvName = name
        .parse()
        .map_err(|error: super::NameError| EnvFileProblem::Name(error.problem().clone()))?;
    // The only reason to refuse a value.
    EnvEntry::new(name.clone(), value)
        .map(Some)
        .map_err(|_| EnvFileProblem::Nul(name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: impl AsRef<[u8]>) -> Result<Vec<(String, String)>, EnvFileError> {
        let entries = parse_env_file(Path::new("dev.env"), text.as_ref())?;
        let entry = |(name, value): (EnvName, EnvValue)| (name.to_string(), value.as_str().into());
        Ok(entries.into_iter().map(entry).collect())
    }

    #[test]
    fn lines_are_literal() {
        let text =
            "# comment\n\n  \t\n  # comment = too\nA=1\r\nB= \"x\" $A \n_C=a=b#c\nD=\r\nE=\ra";
        let expected = [
            ("A", "1"),
            ("B", " \"x\" $A "),
            ("D", ""),
            ("E", "\ra"),
            ("_C", "a=b#c"),
        ];
        assert_eq!(
            parse(text).unwrap(),
            expected.map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn errors_have_file_and_line_and_never_the_value() {
        for (line, reason) in [
            (&b"hunter2"[..], "there is no `=`"),
            (b"=hunter2", "no name before"),
            (b"hunter2/+x==", "character 8 is `/`"),
            (b" A=hunter2", "character 1 is ` `"),
            (b"A =hunter2", "character 2 is ` `"),
            (b"export A=hunter2", "leave out `export`"),
            (b"LEYDEN_KEY=hunter2", "Leyden's own"),
            (b"A=hunter2\0", "NUL"),
            (b"A=hunter2\xff", "not UTF-8"),
            (b"FIRST=hunter2", "`FIRST` is already set in line 2"),
        ] {
            let error = parse([b"# one\nFIRST=1\n", line, b"\nLAST=1"].concat()).unwrap_err();
            assert_eq!(error.line, Some(3));
            let shown = error.to_string();
            assert!(
                shown.starts_with("dev.env:3: ") && shown.contains(reason),
                "{shown}"
            );
            assert!(
                !format!("{error} {error:?}").contains("hunter2"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn size_is_bounded() {
        let largest = format!("A={}", "x".repeat((1 << 20) - 2));
        assert!(parse(&largest).is_ok());
        let error = parse(format!("{largest}x")).unwrap_err();
        assert!(matches!(error.problem, EnvFileProblem::TooLarge));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("env");
        std::fs::write(&path, format!("{largest}x")).unwrap();
        assert!(matches!(
            read_env_file(&path).unwrap_err().problem,
            EnvFileProblem::TooLarge
        ));
        std::fs::write(&path, "A=1").unwrap();
        assert_eq!(read_env_file(&path).unwrap().len(), 1);
        let missing = read_env_file(&folder.path().join("none")).unwrap_err();
        assert!(matches!(missing.problem, EnvFileProblem::Io(_)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = parse(bytes).map_err(|error| error.to_string());
        }

        #[test]
        fn what_was_written_is_read(
            entries in proptest::collection::btree_map(
                "[A-Z_][A-Z0-9_]{0,8}",
                "[^\\x00\\n]{0,20}".prop_filter("CR at the end is dropped", |v| !v.ends_with('\r')),
                0..8,
            ),
            end in prop_oneof![Just("\n"), Just("\r\n")],
        ) {
            let text: String = entries.iter().map(|(n, v)| format!("{n}={v}{end}")).collect();
            prop_assert_eq!(parse(text).unwrap(), entries.into_iter().collect::<Vec<_>>());
        }
    }
}
