//! Reading secrets out of other tools' files, and creating many at once.
//!
//! What cannot be taken over exactly is refused, not guessed: values that are no text in quotes,
//! names that stand there twice, nested structures. What an .env file says depends on the tool that
//! reads it: quotes, and a `#` after a blank, which most take for syntax, are refused; what only some
//! do is kept as it stands, and told. The parsers keep copies of what they read, in
//! memory that is not wiped; who imports has the file in the clear anyway.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use crate::app::{EnvFileError, SecretName, parse_env_file};

use super::edit::{create, set};
use super::{SecretStore, SecretValue, StoreError, VersionOptions};

/// What a file of secrets is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportFormat {
    /// `NAME=VALUE` on each line, taken literally.
    Env,
    /// An object of texts.
    Json,
    /// A map of texts.
    Yaml,
}

/// Why a file was not imported. Never contains a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A line is wrong.
    #[error(transparent)]
    Env(#[from] EnvFileError),
    /// A value in quotes, which would be kept.
    #[error(
        "the value of `{name}` begins with a quote, which would be a part of it: remove the quotes"
    )]
    Quoted {
        /// The entry's name.
        name: String,
    },
    /// What most tools take for a comment, and would be kept.
    #[error(
        "the value of `{name}` has a `#` after a blank, where most tools begin a comment: take the \
         comment out, or write the value in a .json or .yaml file"
    )]
    Comment {
        /// The entry's name.
        name: String,
    },
    /// It is not an object, or map, of texts.
    #[error("line {line}, column {column}: it is not {wanted} of names and texts, each name once")]
    Shape {
        /// The line, from 1; 0 if unknown.
        line: u64,
        /// The column, from 1; 0 if unknown.
        column: u64,
        /// What was wanted.
        wanted: &'static str,
    },
    /// No secret can be called so.
    #[error("`{name}` cannot be a secret's name: {problem}")]
    Name {
        /// The entry's name.
        name: String,
        /// Why not.
        problem: String,
    },
    /// Two names would become one.
    #[error("`{one}` and `{other}` would both become the secret `{name}`: rename one of them")]
    Clash {
        /// The one.
        one: String,
        /// The other.
        other: String,
        /// The secret's name.
        name: SecretName,
    },
    /// A value is too long.
    #[error("the value of `{name}` is longer than 1 MiB, which is the most")]
    TooLarge {
        /// The entry's name.
        name: String,
    },
}

/// A secret that is to be imported.
#[derive(Debug)]
#[non_exhaustive]
pub struct Imported {
    /// What it was called where it comes from.
    pub from: String,
    /// What it is to be called.
    pub name: SecretName,
    /// Its value.
    pub value: SecretValue,
    /// What some tools would make something else of, and is a part of the value, in words.
    pub kept: Option<&'static str>,
}

/// What became of a secret that was imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportedAs {
    /// Its version.
    pub version: NonZeroU32,
    /// How many older versions it destroyed, because no more are kept.
    pub destroyed: usize,
}

/// What some tools would make something else of in a value of an .env file, in words.
fn kept(value: &str) -> Option<&'static str> {
    [
        (
            value.contains('$'),
            "its `$` is kept, and nothing put in its place",
        ),
        (
            value.contains('#'),
            "its `#` is kept, and begins no comment",
        ),
        (
            value.contains(['"', '\'', '`']),
            "its quotes are kept as they are",
        ),
        (value.contains('\\'), "its backslash is kept as it is"),
        (value.contains('\r'), "its carriage return is kept"),
        (value.trim() != value, "the blanks around it are kept"),
    ]
    .into_iter()
    .find_map(|(found, words)| found.then_some(words))
}

impl ImportFormat {
    /// Reads a file's text; `path` is for messages only. Names are put into lower case, with dashes
    /// for underscores, after the prefix.
    ///
    /// # Errors
    /// [`ImportError`] for the first thing that cannot be taken over exactly.
    pub fn read(
        self,
        path: &Path,
        text: &[u8],
        prefix: &str,
    ) -> Result<Vec<Imported>, ImportError> {
        let entries = match self {
            Self::Env => return read_env(path, text, prefix),
            Self::Json => serde_json::from_slice::<Texts>(text)
                .map(|texts| texts.0)
                .map_err(|error| ImportError::Shape {
                    line: error.line() as u64,
                    column: error.column() as u64,
                    wanted: "a JSON object",
                })?,
            Self::Yaml => read_yaml(text)?,
        };
        let entries = entries
            .into_iter()
            .map(|(name, text)| (name, text.into_bytes()));
        named(entries.collect(), prefix)
    }
}

/// Gives entries the names of secrets.
///
/// # Errors
/// [`ImportError`] for the first that cannot have one.
pub fn named(entries: Vec<(String, Vec<u8>)>, prefix: &str) -> Result<Vec<Imported>, ImportError> {
    let mut taken = BTreeMap::<SecretName, String>::new();
    let mut imported = Vec::with_capacity(entries.len());
    for (from, value) in entries {
        let wanted = format!("{prefix}{}", from.to_ascii_lowercase().replace('_', "-"));
        let name: SecretName = wanted.parse().map_err(|error| ImportError::Name {
            name: from.clone(),
            problem: format!("{error}"),
        })?;
        if let Some(one) = taken.insert(name.clone(), from.clone()) {
            let other = from;
            return Err(ImportError::Clash { one, other, name });
        }
        let value =
            SecretValue::new(value).map_err(|_| ImportError::TooLarge { name: from.clone() })?;
        imported.push(Imported {
            from,
            name,
            value,
            kept: None,
        });
    }
    Ok(imported)
}

fn read_env(path: &Path, text: &[u8], prefix: &str) -> Result<Vec<Imported>, ImportError> {
    let (mut entries, mut all_kept) = (Vec::new(), Vec::new());
    for (name, value) in parse_env_file(path, text)? {
        let (name, value) = (name.to_string(), value.as_str());
        if value.trim_start().starts_with(['"', '\'', '`']) {
            return Err(ImportError::Quoted { name });
        }
        if value.starts_with('#') || value.contains(" #") || value.contains("\t#") {
            return Err(ImportError::Comment { name });
        }
        all_kept.push(kept(value));
        entries.push((name, value.as_bytes().to_vec()));
    }
    let mut imported = named(entries, prefix)?;
    for (secret, kept) in imported.iter_mut().zip(all_kept) {
        secret.kept = kept;
    }
    Ok(imported)
}

fn read_yaml(text: &[u8]) -> Result<Vec<(String, String)>, ImportError> {
    if let Some(line) = tagged_line(text) {
        return Err(ImportError::Shape {
            line,
            column: 1,
            wanted: "a YAML map (tags are not taken)",
        });
    }
    // `1e3`, `yes` and `null` are texts only in quotes: what another tool makes of them is not known.
    // `<<` would take over what another map says, and the names in it.
    let options = serde_saphyr::options! {
        no_schema: true,
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
    };
    serde_saphyr::from_slice_with_options::<Texts>(text, options)
        .map(|texts| texts.0)
        .map_err(|error| {
            let place = error.location();
            ImportError::Shape {
                line: place.map_or(0, |place| place.line()),
                column: place.map_or(0, |place| place.column()),
                wanted: match error.without_snippet() {
                    serde_saphyr::Error::MergeKeyNotAllowed { .. } => {
                        "a YAML map (merge keys are not taken)"
                    }
                    _ => "a YAML map",
                },
            }
        })
}

/// The first line that gives a tag to a text of the map: `!vault` is of another tool, which would
/// have made something else of it, and the parser passes it over. Texts of several lines are
/// indented, and may hold anything.
fn tagged_line(text: &[u8]) -> Option<u64> {
    let is_tagged = |line: &[u8]| {
        let mut after = line.windows(2).zip(1..).filter(|(two, _)| *two == b": ");
        let is_key = !line.starts_with(b" ") && !line.starts_with(b"#");
        is_key
            && after.next().is_some_and(|(_, at)| {
                let value = line.get(at..).unwrap_or_default().trim_ascii_start();
                value.starts_with(b"!")
            })
    };
    let mut lines = text.split(|byte| *byte == b'\n').zip(1..);
    lines
        .find(|(line, _)| is_tagged(line))
        .map(|(_, number)| number)
}

/// Names and texts, each name once.
struct Texts(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names and texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let (mut entries, mut names) = (Vec::new(), HashSet::new());
                while let Some((name, text)) = map.next_entry::<String, String>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom("a name twice"));
                    }
                    entries.push((name, text));
                }
                Ok(Texts(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

impl SecretStore {
    /// Creates many secrets at once, all or none; returns what each became. Where `set_existing` says
    /// so, those that there are get a new version.
    ///
    /// # Errors
    /// Those of [`create_secret`](Self::create_secret) and [`set_secret`](Self::set_secret), for
    /// the first that cannot be made.
    pub fn import(
        &self,
        secrets: &[Imported],
        set_existing: bool,
    ) -> Result<Vec<ImportedAs>, StoreError> {
        let options = VersionOptions::default();
        let imported: Vec<ImportedAs> = self.write(|snapshot| {
            let import = |secret: &Imported| {
                let (name, value) = (&secret.name, &secret.value);
                let there = snapshot.find(name)?.1.is_some();
                let (version, destroyed) = match there && set_existing {
                    true => set(snapshot, name, value, &options)?,
                    false => (create(snapshot, name, value, &options)?, 0),
                };
                Ok(ImportedAs { version, destroyed })
            };
            secrets.iter().map(import).collect()
        })?;
        if imported.iter().any(|one| one.destroyed > 0) {
            self.clear_log();
        }
        Ok(imported)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FORMATS: [ImportFormat; 3] = [ImportFormat::Env, ImportFormat::Json, ImportFormat::Yaml];

    fn read(format: ImportFormat, text: &str) -> Result<Vec<(String, Vec<u8>)>, ImportError> {
        let read = format.read(Path::new("file"), text.as_bytes(), "")?;
        let entry = |one: &Imported| (one.name.to_string(), one.value.expose().to_vec());
        Ok(read.iter().map(entry).collect())
    }

    #[test]
    fn each_format_gives_the_same_secrets() {
        let expected = [
            ("api-token".to_owned(), b"a=b#c".to_vec()),
            ("empty".to_owned(), Vec::new()),
        ];
        for (format, text) in [
            (ImportFormat::Env, "# x\nAPI_TOKEN=a=b#c\n # y\nEMPTY=\n"),
            (
                ImportFormat::Json,
                "{\"API_TOKEN\": \"a=b#c\", \"EMPTY\": \"\"}",
            ),
            (ImportFormat::Yaml, "API_TOKEN: \"a=b#c\"\nEMPTY: ''\n"),
        ] {
            assert_eq!(read(format, text).unwrap(), expected, "{format:?}");
        }
        let block = "key: |\n  line 1\n  line 2\n";
        let read = read(ImportFormat::Yaml, block).unwrap();
        assert_eq!(read, [("key".to_owned(), b"line 1\nline 2\n".to_vec())]);
    }

    #[test]
    fn what_only_some_tools_read_otherwise_is_kept_and_told() {
        for (value, kept) in [
            ("plain", None),
            ("", None),
            ("cost$", Some("`$`")),
            ("$'x'", Some("`$`")),
            ("it's", Some("quotes")),
            ("a`id`", Some("quotes")),
            ("a\rb", Some("carriage return")),
            ("$HOME/x", Some("`$`")),
            ("a${B}c", Some("`$`")),
            ("$(id)", Some("`$`")),
            ("$_x#", Some("`$`")),
            ("a#b", Some("`#`")),
            ("a\\nb", Some("backslash")),
            ("a ", Some("blanks")),
            (" a", Some("blanks")),
        ] {
            let text = format!("A={value}\n");
            let read = ImportFormat::Env.read(Path::new("file"), text.as_bytes(), "");
            let read = read.unwrap();
            assert_eq!(read[0].value.expose(), value.as_bytes());
            let told = read[0].kept.unwrap_or_default();
            assert!(told.contains(kept.unwrap_or_default()), "{value}: {told}");
            assert_eq!(told.is_empty(), kept.is_none(), "{value}: {told}");
        }
        let json = br#"{"A": "$HOME #x "}"#;
        let read = ImportFormat::Json
            .read(Path::new("file"), json, "")
            .unwrap();
        assert_eq!(read[0].kept, None);
    }

    #[test]
    fn what_looks_like_a_tag_within_a_text_is_text() {
        let yaml = "A: |\n  b: !c\nD: 'e: !f'\n";
        let expected = [("a", "b: !c\n"), ("d", "e: !f")];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.into()));
        assert_eq!(read(ImportFormat::Yaml, yaml).unwrap(), expected);
    }

    #[test]
    fn what_would_be_lossy_is_refused_without_telling_a_value() {
        for (format, text) in [
            (ImportFormat::Env, "A=\"hunter2\"\n"),
            (ImportFormat::Env, "A='hunter2'\n"),
            (ImportFormat::Env, "A=hunter2 # of production\n"),
            (ImportFormat::Env, "A=hunter2\t#x\n"),
            (ImportFormat::Env, "A=#hunter2\n"),
            (ImportFormat::Env, "A= # hunter2\n"),
            (ImportFormat::Env, "A= \"hunter2\"\n"),
            (ImportFormat::Env, "A=\t'hunter2'\n"),
            (ImportFormat::Env, "export A=hunter2\n"),
            (ImportFormat::Env, "A=hunter2\nA=hunter2\n"),
            (ImportFormat::Env, "FOO_BAR=hunter2\nfoo_bar=hunter2\n"),
            (ImportFormat::Env, "_A=hunter2\n"),
            (ImportFormat::Json, "{\"A\": 7137, \"B\": \"hunter2\"}"),
            (ImportFormat::Json, "{\"A\": null}"),
            (ImportFormat::Json, "{\"A\": {\"B\": \"hunter2\"}}"),
            (
                ImportFormat::Json,
                "{\"A\": \"hunter2\", \"A\": \"hunter2\"}",
            ),
            (ImportFormat::Json, "[\"hunter2\"]"),
            (ImportFormat::Json, "{\"A\": \"hunter2\"} hunter2"),
            (ImportFormat::Yaml, "A: !vault |\n  hunter2\n"),
            (ImportFormat::Yaml, "B: x\nA:  !x hunter2\n"),
            (ImportFormat::Yaml, "A: 7137\n"),
            (ImportFormat::Yaml, "A: yes\nB: true\n"),
            (ImportFormat::Yaml, "A: null\n"),
            (ImportFormat::Yaml, "A:\n  B: hunter2\n"),
            (ImportFormat::Yaml, "A: hunter2\nA: hunter2\n"),
            (ImportFormat::Yaml, "- hunter2\n"),
            (ImportFormat::Yaml, "<<: {A: hunter2}\nB: x\n"),
        ] {
            let error = read(format, text).unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(!told.contains("hunter2"), "{text}: {told}");
            assert!(!told.contains("7137"), "{text}: {told}");
        }
    }

    #[test]
    fn a_merge_key_is_refused_and_a_name_that_looks_like_one_is_none() {
        let merging = "B: text\n<<: {A: text}\n";
        let told = read(ImportFormat::Yaml, merging).unwrap_err().to_string();
        assert!(told.contains("line 2"), "{told}");
        assert!(told.contains("merge keys are not taken"), "{told}");
        let quoted = read(ImportFormat::Yaml, "'<<': text\n").unwrap_err();
        assert!(matches!(quoted, ImportError::Name { .. }), "{quoted}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, text in "[a-z:{}\"' \n=_&*!|>-]{0,60}") {
            for format in FORMATS {
                let _ = format.read(Path::new("file"), &bytes, "");
                let _ = format.read(Path::new("file"), text.as_bytes(), "p-");
            }
        }
    }
}
