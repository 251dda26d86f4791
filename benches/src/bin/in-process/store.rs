//! `in-process store FOLDER ROUNDS SECRETS...`: stores of so many secrets, each beside what nobody can
//! do without: a point read of its own SQLite file, and one opening with AES-256-GCM. `FOLDER` is for
//! this to write in.
//!
//! Prints a line for each measurement: what, who, microseconds; by tabs.

use std::fs;
use std::path::Path;
use std::time::Instant;

use aes_gcm::aead::AeadInOut as _;
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce, Tag};
use leyden::Key;
use leyden::app::{Authority, Digest, Encoding, SecretRef};
use leyden::secrets::{
    ReleaseRequest, SecretQuery, SecretStore, SecretValue, StoreOptions, Wanted, named,
};
use rusqlite::{Connection, OpenFlags};
use wasmtime::error::Context as _;
use wasmtime::{Result, ensure};

/// Secrets of one bind that is measured, beside a bind of one: what is between them is what a secret
/// takes, without the bind's own commit.
const MANY: usize = 200;
const VALUE: &[u8] = b"a value as long as many tokens are: 64 bytes, more or less of it.";
/// On one page of a list.
const PAGE: usize = 50;

pub(crate) fn measure(arguments: &[String]) -> Result<()> {
    let [folder, rounds, sizes @ ..] = arguments else {
        wasmtime::bail!("FOLDER ROUNDS SECRETS... are expected");
    };
    let rounds: usize = rounds.parse()?;
    let mut stores = Vec::new();
    for size in sizes {
        stores.push(Side::make(&Path::new(folder).join(size), size.parse()?)?);
    }
    for round in 0..=rounds {
        for store in &mut stores {
            for (what, who, taken) in store.measure(round)? {
                // What is done for the first time is not what is measured.
                if round > 0 {
                    println!("{what}\t{who} {}\t{taken}", store.secrets);
                }
            }
        }
    }
    for store in &stores {
        let start = Instant::now();
        let rotated = store.leyden.rotate_kek(|_, _| ())?;
        let each = micros(start) / rotated.rewrapped as f64;
        println!("rotate\tleyden {}\t{each}", store.secrets);
    }
    Ok(())
}

/// A store of so many secrets, and what is measured beside it.
struct Side {
    secrets: usize,
    leyden: SecretStore,
    options: StoreOptions,
    path: std::path::PathBuf,
    key_file: std::path::PathBuf,
    bare: Bare,
}

impl Side {
    fn make(folder: &Path, secrets: usize) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let options = StoreOptions::new().state_dir(folder.join("state"));
        let (path, key_file) = (folder.join("store.db"), folder.join("root.key"));
        let leyden = options.open_or_create(&path, &key_file)?.store;
        let entries = (0..secrets).map(|number| (name(number), VALUE.to_vec()));
        leyden.import(&named(entries.collect(), "")?, false)?;
        Ok(Self {
            secrets,
            bare: Bare::open(&path)?,
            leyden,
            options,
            path,
            key_file,
        })
    }

    /// What was measured, of whom, in microseconds.
    fn measure(&mut self, round: usize) -> Result<Vec<(&'static str, &'static str, f64)>> {
        let start = Instant::now();
        let opened = self
            .options
            .open(&self.path, Key::from_file(&self.key_file)?)?;
        let open = micros(start);
        drop(opened);

        // Spread over the store, and others in each round: the first of them reads what was not read.
        let stride = self.secrets / MANY + 1;
        let number = |one: usize| (round + one * stride) % self.secrets;
        let wanted: Vec<Wanted> = (0..=MANY)
            .map(|one| wanted(number(one)))
            .collect::<Result<_>>()?;
        let one = self.bind(wanted.get(..1).context("there is one")?)?;
        let many = self.bind(&wanted)?;
        let bare = self.bare.measure(round, stride)?;

        let query = SecretQuery {
            offset: round * PAGE % self.secrets,
            limit: PAGE,
            ..SecretQuery::default()
        };
        let start = Instant::now();
        let page = self.leyden.page(&query)?;
        let list = micros(start);
        ensure!(page.secrets.len() == PAGE, "a short page");

        let added = format!("added-{round}").parse()?;
        let start = Instant::now();
        self.leyden
            .create_secret(&added, SecretValue::new(VALUE.to_vec())?)?;
        let add = micros(start);
        Ok(vec![
            ("open", "leyden", open),
            ("bind", "leyden", one),
            ("resolve", "leyden", (many - one) / MANY as f64),
            ("resolve", "a point read and AES-256-GCM", bare),
            ("page", "leyden", list),
            ("add", "leyden", add),
        ])
    }

    fn bind(&self, wanted: &[Wanted]) -> Result<f64> {
        let request = ReleaseRequest {
            app_name: "bench",
            app_digest: Digest::of(b"an app"),
            app_folder: None,
            wanted,
        };
        let start = Instant::now();
        let released = self.leyden.release(&request)?;
        let taken = micros(start);
        ensure!(
            released.iter().all(|one| one.value.expose() == VALUE),
            "another value"
        );
        Ok(taken)
    }
}

fn name(number: usize) -> String {
    format!("team-{}.service-{number:06}", number % 97)
}

fn wanted(number: usize) -> Result<Wanted> {
    let secret = SecretRef {
        name: name(number).parse()?,
        version: None,
        encoding: Encoding::Text,
    };
    Ok(Wanted {
        component: "flow".into(),
        component_digest: Digest::of(b"a component"),
        env: format!("SECRET_{number}").parse()?,
        secret,
        by: Authority::Operator,
    })
}

/// A row of the store's own file, read by its key through the same library, and as many bytes opened
/// with the same cipher.
struct Bare {
    connection: Connection,
    places: Vec<Vec<u8>>,
    key: [u8; 32],
    sealed: Vec<u8>,
    tag: Tag,
}

impl Bare {
    fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let places = connection
            .prepare("SELECT place FROM version")?
            .query_map((), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let key = [7; 32];
        let mut sealed = VALUE.to_vec();
        let tag = Aes256Gcm::new(&key.into())
            .encrypt_inout_detached(&Nonce::default(), b"", sealed.as_mut_slice().into())
            .ok()
            .context("cannot seal")?;
        Ok(Self {
            connection,
            places,
            key,
            sealed,
            tag,
        })
    }

    fn measure(&self, round: usize, stride: usize) -> Result<f64> {
        let transaction = self.connection.unchecked_transaction()?;
        let start = Instant::now();
        for one in 0..MANY {
            let number = (round + one * stride) % self.places.len();
            let place = self.places.get(number).context("a place")?;
            let row: Vec<u8> = transaction
                .prepare_cached("SELECT value FROM version WHERE place = ?1 AND number = 1")?
                .query_row([place], |row| row.get(0))?;
            ensure!(row.len() > VALUE.len(), "another row");
            let mut value = self.sealed.clone();
            // Each value has a key of its own.
            Aes256Gcm::new(&self.key.into())
                .decrypt_inout_detached(
                    &Nonce::default(),
                    b"",
                    value.as_mut_slice().into(),
                    &self.tag,
                )
                .ok()
                .context("cannot open")?;
            ensure!(value == VALUE, "another value");
        }
        Ok(micros(start) / MANY as f64)
    }
}

fn micros(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e6
}
