//! `leyden trust`: grants an app what it asks for, once somebody has seen it.

use anyhow::Context as _;
use leyden::App;
use leyden::secrets::Grantee;
use serde_json::json;

use crate::cli::Trust;
use crate::exit::{say, usage};
use crate::inspect::Seen;
use crate::paths::Paths;
use crate::report::{self, Format};
use crate::{prompt, unlock, wide};

pub(crate) fn run(arguments: &Trust, paths: &Paths) -> anyhow::Result<()> {
    if arguments.revoke {
        return revoke(arguments, paths);
    }
    let app = App::from_path(&arguments.app).map_err(leyden::Error::from)?;
    let requests = app.manifest().requests();
    if requests.is_empty() {
        return Err(usage(
            "this app asks for nothing, so that there is nothing to grant",
        ));
    }
    let to = grantee(&app, arguments.folder)?;
    let store = unlock::open(paths)?;
    let seen = Seen::of(&app, Some(&store))?;
    say(&format!("this app asks for:\n{}", seen.text().trim_end()));
    if let Some(warning) = wide::warning(&to) {
        say(&format!("warning: {warning}"));
    }
    let question = match &to {
        Grantee::Folder(folder) => format!(
            "Grant that to whatever app is in {}, also when it changes?",
            report::in_line(folder.display())
        ),
        _ => "Grant that to this version of the app?".into(),
    };
    prompt::confirm_or_refuse(&question, arguments.yes, "nothing was granted")?;
    app.trust(&store, &to, arguments.expires)?;
    match arguments.report.output {
        Format::Json => report::json(&json!({ "to": to, "granted": requests.len() })),
        Format::Text => report::line(&format!(
            "granted {} to {}",
            report::counted(requests.len() as u64, "request"),
            report::in_line(&to)
        )),
    }
}

fn revoke(arguments: &Trust, paths: &Paths) -> anyhow::Result<()> {
    let digest = arguments.app.to_str();
    let digest = digest.filter(|typed| typed.starts_with("sha256:"));
    let from = match digest {
        Some(typed) => vec![Grantee::App(
            typed.parse().map_err(|error| usage(format!("{error}")))?,
        )],
        None => {
            let app = App::from_path(&arguments.app).map_err(leyden::Error::from)?;
            // Whoever takes back what an app may do means that of its folder, too.
            let version = (!arguments.folder).then(|| grantee(&app, false));
            let folder = (arguments.folder || app.folder().is_some()).then(|| grantee(&app, true));
            version
                .into_iter()
                .chain(folder)
                .collect::<anyhow::Result<_>>()?
        }
    };
    let shown: Vec<_> = from.iter().map(ToString::to_string).collect();
    let question = format!(
        "Take back all that was granted to {}?",
        shown.join(" and to ")
    );
    prompt::confirm_or_refuse(&question, arguments.yes, "nothing was taken back")?;
    let store = unlock::open(paths)?;
    let revoked = from
        .iter()
        .map(|to| Ok((to, store.distrust(to)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    match arguments.report.output {
        Format::Json => {
            let rows = revoked
                .iter()
                .map(|(to, revoked)| json!({ "to": to, "revoked": revoked }));
            report::json(&rows.collect::<Vec<_>>())
        }
        Format::Text => revoked.iter().try_for_each(|(to, revoked)| {
            let grants = report::counted(*revoked as u64, "grant");
            report::line(&format!("revoked {grants} to {to}"))
        }),
    }
}

fn grantee(app: &App, folder: bool) -> anyhow::Result<Grantee> {
    if !folder {
        let digest = app.digest().map_err(leyden::Error::from)?;
        return Ok(Grantee::App(digest));
    }
    let folder = app
        .folder()
        .context("a bare component has no folder of its own")?;
    Ok(Grantee::Folder(folder.to_owned()))
}
