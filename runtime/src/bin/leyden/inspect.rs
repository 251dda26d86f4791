//! `leyden inspect`: what an app is and asks for, and what it is granted. Nothing of it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bytesize::ByteSize;
use leyden::App;
use leyden::app::{self, Request};
use leyden::secrets::{Coverage, Grantee, RefusalReason, SecretStore, StoreError, Trusted};
use serde_json::json;

use crate::cli::Inspect;
use crate::exit::Failure;
use crate::paths::Paths;
use crate::report::{self, Format, time};
use crate::unlock;

pub(crate) fn run(arguments: &Inspect, paths: &Paths) -> anyhow::Result<()> {
    let app = App::from_path(&arguments.app).map_err(leyden::Error::from)?;
    let asks = !app.manifest().requests().is_empty();
    // What an app asks for that asks for nothing is seen without a key, too.
    let looks = asks || (app.folder().is_some() && unlock::has_key(paths));
    let is_there = unlock::is_there(&paths.store);
    let (store, unread) = match (is_there && looks).then(|| unlock::look(paths)) {
        None => (None, None),
        Some(Ok(store)) => (Some(store), None),
        Some(Err(error)) => match error.downcast_ref() {
            // All else is seen without a key, too. Whoever names one means it.
            Some(Failure::Denied(why)) if !unlock::has_key(paths) => {
                (None, Some(format!("the store cannot be opened: {why}")))
            }
            _ => return Err(error),
        },
    };
    let (mut seen, damaged) = match Seen::of(&app, store.as_ref()) {
        // It is told, after what does not depend on the store.
        Err(leyden::Error::Store(damaged @ StoreError::Tampered { .. })) => {
            (Seen::of(&app, None)?, Some(damaged))
        }
        seen => (seen?, None),
    };
    let unread = unread.or(damaged.as_ref().map(ToString::to_string));
    seen.last_unknown = match (&damaged, &unread) {
        (Some(_), _) => Some("not known, because the store is damaged"),
        (None, None) if looks || !is_there => None,
        (None, _) => Some("not looked for, which takes a key (--ask-key, --key-file FILE)"),
    };
    seen.unread = unread;
    match arguments.report.output {
        Format::Json => report::json(&seen.json())?,
        Format::Text => {
            let text = seen.text() + &seen.hint();
            report::print(report::printable(&text))?;
        }
    }
    damaged.map_or(Ok(()), |damaged| Err(damaged.into()))
}

/// What there is to see of an app.
pub(crate) struct Seen {
    name: String,
    digest: String,
    folder: Option<String>,
    /// Digest and imports of each component.
    components: BTreeMap<String, (String, Result<BTreeSet<String>, String>)>,
    /// What it asks for, and whether that is granted; nothing is without a store.
    requests: Vec<(Request, Option<Coverage>)>,
    /// Why the store that there is could not be asked.
    unread: Option<String>,
    last: Option<Trusted>,
    /// Why it is not known whether there is one.
    last_unknown: Option<&'static str>,
    /// Whether its manifest differs from that one's.
    manifest_changed: bool,
    too_much_memory: Vec<String>,
}

impl Seen {
    /// Reads the app, and asks the store.
    ///
    /// # Errors
    ///
    /// Where a component cannot be read, and the store's.
    pub(crate) fn of(app: &App, store: Option<&SecretStore>) -> Result<Self, leyden::Error> {
        let digests = app.component_digests()?;
        let mut components = BTreeMap::new();
        for ((name, digest), (_, source)) in digests.into_iter().zip(sorted(app)) {
            components.insert(name, (digest, app::imports(source.bytes()?)));
        }
        let requests = match store {
            Some(store) => {
                let known = app.coverage(store)?.into_iter();
                known
                    .map(|(request, found)| (request, Some(found)))
                    .collect()
            }
            None => {
                let requests = app.manifest().requests().into_iter();
                requests.map(|request| (request, None)).collect()
            }
        };
        let last = match (store, app.folder().and_then(Grantee::folder)) {
            (Some(store), Some(folder)) => store.last_granted(&folder)?,
            _ => None,
        };
        let manifest_changed = last.as_ref().is_some_and(|last| {
            let before = app.digest_with(&last.components);
            before.is_none_or(|digest| digest.to_string() != last.digest)
        });
        Ok(Self {
            name: app.display_name().to_owned(),
            digest: app.digest()?.to_string(),
            folder: app.folder().map(|folder| folder.display().to_string()),
            components,
            requests,
            unread: None,
            last,
            last_unknown: None,
            manifest_changed,
            too_much_memory: too_much_memory(app),
        })
    }

    /// Whether all that it asks for is granted.
    pub(crate) fn is_granted(&self) -> bool {
        let granted = |found: &Option<Coverage>| found.as_ref().is_some_and(Coverage::is_granted);
        self.requests.iter().all(|(_, found)| granted(found))
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |name: &str, text: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{name:<12}{text}");
        };
        line("app", &report::in_line(&self.name));
        line("digest", &self.digest);
        if let Some(folder) = &self.folder {
            line("folder", &report::in_line(folder));
        }
        for (name, (digest, imports)) in &self.components {
            line(
                if name == "flow" { "flow" } else { "work" },
                &match name.as_str() {
                    "flow" => digest.clone(),
                    name => format!("{name} {digest}"),
                },
            );
            match imports {
                Ok(imports) => imports.iter().for_each(|import| line("  imports", import)),
                Err(problem) => line("  imports", &format!("cannot be read: {problem}")),
            }
        }
        for problem in &self.too_much_memory {
            line("memory", problem);
        }
        if self.requests.is_empty() {
            line("asks for", "nothing");
        }
        for (request, found) in &self.requests {
            let ask = report::in_line(request);
            line(
                "asks for",
                &format!("{ask}: {}", self.told_of(found.as_ref())),
            );
        }
        if self.folder.is_some() {
            match (&self.last, self.last_unknown) {
                (Some(_), _) => {}
                (None, None) => line("granted", "nothing in this folder so far"),
                (None, Some(why)) => line("granted", &format!("in this folder: {why}")),
            }
        }
        for change in self.changes() {
            line("changed", &change);
        }
        out
    }

    /// How to grant what it asks for, in a line, where that is missing.
    fn hint(&self) -> String {
        let mut missing = self.requests.iter();
        let helps = missing.any(|(_, found)| trust_helps(found.as_ref()));
        match self.folder.as_ref().filter(|_| helps) {
            Some(folder) => format!(
                "{:<12}to grant all of it: leyden trust {}\n",
                "",
                app::shell_word(folder)
            ),
            None => String::new(),
        }
    }

    /// Whether it is granted, in words, also where no store can be asked.
    fn told_of(&self, found: Option<&Coverage>) -> String {
        match (found, &self.unread) {
            (Some(found), _) => told(found),
            (None, Some(why)) => {
                let why = report::in_line(why);
                format!("not known: {why}")
            }
            (None, None) => "not granted: there is no store here".into(),
        }
    }

    /// What differs from the app to which something was last granted in its folder.
    fn changes(&self) -> Vec<String> {
        let Some(last) = self.last.as_ref().filter(|last| last.digest != self.digest) else {
            return Vec::new();
        };
        let since = format!("since {} granted to it at {}", last.by, time(last.time));
        let mut changes = Vec::new();
        for (name, (digest, _)) in &self.components {
            match last.components.get(name) {
                Some(before) if before == digest => {}
                Some(_) => changes.push(format!("the bytes of {name}, {since}")),
                None => changes.push(format!("{name} is new, {since}")),
            }
        }
        for name in last.components.keys() {
            if !self.components.contains_key(name) {
                changes.push(format!("{name} is gone, {since}"));
            }
        }
        let asks: BTreeSet<_> = self
            .requests
            .iter()
            .map(|(request, _)| request.to_string())
            .collect();
        let before: BTreeSet<_> = last.asks.iter().cloned().collect();
        let added = asks.difference(&before);
        changes.extend(added.map(|ask| format!("it asks for {ask}, which is new {since}")));
        let gone = before.difference(&asks);
        changes.extend(gone.map(|ask| format!("it no longer asks for {ask}, {since}")));
        if self.manifest_changed {
            changes.push(format!("its manifest, {since}"));
        }
        changes
    }

    fn json(&self) -> serde_json::Value {
        let component = |(digest, imports): &(String, Result<BTreeSet<String>, String>)| json!({ "digest": digest, "imports": imports.as_ref().ok() });
        let components: BTreeMap<_, _> = self
            .components
            .iter()
            .map(|(name, found)| (name, component(found)))
            .collect();
        let requests: Vec<_> = self
            .requests
            .iter()
            .map(|(request, found)| {
                let granted = found.as_ref().map(Coverage::is_granted);
                // Where there is no store, that is known; where it cannot be read, it is not.
                let granted = granted.or(self.unread.is_none().then_some(false));
                let why = self.told_of(found.as_ref());
                json!({ "ask": request.to_string(), "granted": granted, "why": why })
            })
            .collect();
        let imports: BTreeSet<_> = self
            .components
            .values()
            .filter_map(|(_, imports)| imports.as_ref().ok())
            .flatten()
            .collect();
        json!({
            "name": self.name,
            "digest": self.digest,
            "folder": self.folder,
            "components": components,
            "imports": imports,
            "too_much_memory": self.too_much_memory,
            "requests": requests,
            "granted": self.unread.is_none().then(|| self.is_granted()),
            "last_granted": self.last,
            "looked_for_last_granted": self.last_unknown.is_none(),
            "changes": self.changes(),
        })
    }
}

/// Components whose manifest asks for more memory than it can have, each in a sentence.
pub(crate) fn too_much_memory(app: &App) -> Vec<String> {
    let (manifest, most) = (app.manifest(), app.most_memory());
    let works = manifest.works.iter();
    let works = works.map(|(name, work)| (format!("the Work `{name}`"), &work.component));
    std::iter::once(("the Flow".to_owned(), &manifest.flow))
        .chain(works)
        .filter_map(|(name, component)| Some((name, component.memory?)))
        .filter(|(_, asked)| *asked > most)
        .map(|(name, asked)| {
            let [asked, most] = [asked, most].map(ByteSize::b);
            format!("{name} asks for {asked} and gets {most}; `run app --memory` allows more")
        })
        .collect()
}

/// An app's components in the order of their names, as they are told.
fn sorted(app: &App) -> impl Iterator<Item = (String, &app::ComponentSource)> {
    let named = |(name, source): (Option<&app::WorkName>, _)| {
        (
            name.map_or_else(|| "flow".to_owned(), ToString::to_string),
            source,
        )
    };
    app.components()
        .map(named)
        .collect::<BTreeMap<_, _>>()
        .into_iter()
}

/// Whether trusting the app would grant it, as far as is known.
fn trust_helps(found: Option<&Coverage>) -> bool {
    match found {
        Some(Coverage::Refused(reason)) => reason.is_mended_by_a_grant(),
        Some(_) => false,
        None => true,
    }
}

/// Whether it is granted, in words.
pub(crate) fn told(found: &Coverage) -> String {
    let until = |at: &Option<jiff::Timestamp>| match at {
        Some(at) => format!(" until {}", time(*at)),
        None => String::new(),
    };
    match found {
        Coverage::Granted {
            to: Grantee::App(_),
            expires,
        } => format!("granted to this digest{}", until(expires)),
        Coverage::Granted { expires, .. } => format!("granted to this folder{}", until(expires)),
        Coverage::Refused(RefusalReason::NotGranted) => "not granted".into(),
        Coverage::Refused(reason) => format!("not granted: {reason}"),
        _ => "not granted".into(),
    }
}
