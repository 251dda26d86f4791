//! Who sees what: precedence, scopes, conflicts, and requests that nobody covers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::app::ErrorKind;
use crate::app::binding::EnvEntry;

const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// An app with a Flow, and the Works `a` and `b`; the parts of its manifest are as given.
struct Parts {
    top: &'static str,
    flow: &'static str,
    a: &'static str,
    b: &'static str,
}

const NOTHING: Parts = Parts {
    top: "",
    flow: "",
    a: "",
    b: "",
};

impl Parts {
    fn app(&self) -> App {
        let folder = tempfile::tempdir().unwrap();
        let Self { top, flow, a, b } = self;
        let file = "component = 'c.wasm'";
        let text = format!(
            "[flow]\n{file}\n{flow}\n[works.a]\n{file}\n{a}\n[works.b]\n{file}\n{b}\n{top}"
        );
        std::fs::write(folder.path().join("leyden.toml"), text).unwrap();
        std::fs::write(folder.path().join("c.wasm"), MODULE).unwrap();
        // What is opened stays when the folder goes.
        App::from_path(folder.path()).unwrap()
    }
}

#[test]
fn a_name_in_a_secrets_list_that_stands_for_nothing_is_refused() {
    let parts = Parts {
        a: "secrets = ['HF_TOKN']",
        ..NOTHING
    };
    let error = |app: &App| app.plan().unwrap_err();
    let app = parts.app();
    let text = error(&app).to_string();
    assert_eq!(error(&app).kind(), ErrorKind::NotRunnable);
    assert!(text.contains("`a`") && text.contains("`HF_TOKN`"), "{text}");
    let app = app.with(secret("HF_TOKEN=hf")).unwrap();
    let text = error(&app).to_string();
    assert!(text.contains("did you mean `HF_TOKEN`?"), "{text}");
    // What another Work alone has is nothing to this one.
    let app = app.with(secret("b:HF_TOKN=hf")).unwrap();
    error(&app);
    for given in [secret("HF_TOKN=hf"), secret("a:HF_TOKN=hf")] {
        assert!(app.clone().with(given).unwrap().plan().is_ok());
    }
    let app = app.with(env("a:HF_TOKN=plain")).unwrap();
    assert!(app.plan().is_ok(), "a plain entry");
}

fn env(typed: &str) -> Scoped<EnvEntry> {
    typed.parse().unwrap()
}

fn secret(typed: &str) -> Scoped<SecretBinding> {
    typed.parse().unwrap()
}

fn host(typed: &str) -> Scoped<HostRule> {
    typed.parse().unwrap()
}

fn env_file(app: App, text: &str) -> App {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("env");
    std::fs::write(&path, text).unwrap();
    app.env_file(path).unwrap()
}

/// The plan's components, in order: the Flow, a, b.
fn components(plan: &Plan) -> Vec<&ComponentPlan> {
    std::iter::once(&plan.flow)
        .chain(plan.works.values().map(|work| &work.component))
        .collect()
}

/// One plain entry as Flow, a and b see it; `-` if not at all.
fn seen(app: &App, name: &str) -> String {
    let name: EnvName = name.parse().unwrap();
    let plan = app.plan().unwrap();
    let value = |c: &ComponentPlan| {
        c.env
            .get(&name)
            .map_or("-".into(), |v| v.as_str().to_owned())
    };
    components(&plan)
        .into_iter()
        .map(value)
        .collect::<Vec<_>>()
        .join(" ")
}

/// One secret as Flow, a and b see it; `-` if not at all, `!` after it if by a grant.
fn seen_secret(plan: &Plan, name: &str) -> String {
    let name: EnvName = name.parse().unwrap();
    let shown = |component: &&ComponentPlan| match component.secrets.get(&name) {
        None => "-".to_owned(),
        Some(PlannedSecret {
            secret,
            by: Authority::Operator,
        }) => secret.to_string(),
        Some(PlannedSecret {
            secret,
            by: Authority::Grant,
        }) => format!("{secret}!"),
    };
    components(plan)
        .iter()
        .map(shown)
        .collect::<Vec<_>>()
        .join(" ")
}

fn uncovered(app: &App) -> Vec<(String, Vec<String>)> {
    let error = app.plan().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Uncovered);
    let AppError::Uncovered { requests, .. } = error else {
        unreachable!("{error}")
    };
    requests
        .into_iter()
        .map(|request| (request.ask.to_string(), request.options))
        .collect()
}

#[test]
fn later_sources_override_earlier_ones() {
    let parts = Parts {
        top: "[env]\nX = '1'",
        ..NOTHING
    };
    assert_eq!(seen(&parts.app(), "X"), "1 1 1");
    let parts = Parts {
        a: "env = { X = '2' }",
        ..parts
    };
    assert_eq!(seen(&parts.app(), "X"), "1 2 1");
    let app = env_file(parts.app(), "X=3");
    assert_eq!(seen(&app, "X"), "3 3 3");
    let app = env_file(app, "X=4");
    assert_eq!(seen(&app, "X"), "4 4 4");
    let app = app.with(env("b:X=6")).unwrap();
    assert_eq!(seen(&app, "X"), "4 4 6");
    let app = app.with(env("X=5")).unwrap();
    assert_eq!(seen(&app, "X"), "5 5 6");
    assert_eq!(seen(&app, "Y"), "- - -");
    // Whatever the order of giving.
    let app = env_file(parts.app().with(env("X=5")).unwrap(), "X=3\nY=");
    assert_eq!(
        (seen(&app, "X"), seen(&app, "Y")),
        ("5 5 5".into(), "  ".into())
    );
}

#[test]
fn the_flows_own_entries_are_its_own() {
    let app = Parts {
        flow: "env = { X = '1' }",
        ..NOTHING
    }
    .app();
    assert_eq!(seen(&app, "X"), "1 - -");
    let app = app.with(env("a:Z=1")).unwrap();
    assert_eq!(seen(&app, "Z"), "- 1 -");
}

#[test]
fn secrets_hold_for_all_or_for_the_work_that_is_named() {
    let app = NOTHING.app().with(secret("S=all@2:base64")).unwrap();
    assert_eq!(
        seen_secret(&app.plan().unwrap(), "S"),
        "all@2:base64 all@2:base64 all@2:base64"
    );
    let app = NOTHING.app().with(secret("a:S=one")).unwrap();
    assert_eq!(seen_secret(&app.plan().unwrap(), "S"), "- one -");
    let app = app.with(secret("S=all")).unwrap();
    assert_eq!(seen_secret(&app.plan().unwrap(), "S"), "all one all");
    assert_eq!(seen_secret(&app.plan().unwrap(), "T"), "- - -");
}

#[test]
fn a_components_list_leaves_out_the_others() {
    let parts = Parts {
        top: "[secrets]\nS = 's'\nT = 't'",
        flow: "secrets = []",
        a: "secrets = ['S']",
        b: "",
    };
    let app = parts
        .app()
        .secret("S", "s")
        .unwrap()
        .secret("T", "t")
        .unwrap();
    let app = app.secret("U", "u").unwrap();
    let plan = app.plan().unwrap();
    assert_eq!(seen_secret(&plan, "S"), "- s s");
    assert_eq!(seen_secret(&plan, "T"), "- - t");
    assert_eq!(seen_secret(&plan, "U"), "- - u");
    // What is given to it by name it sees all the same.
    let plan = app.with(secret("a:T=mine")).unwrap().plan().unwrap();
    assert_eq!(seen_secret(&plan, "T"), "- mine t");
}

#[test]
fn no_component_sees_a_name_both_ways() {
    let conflict = |app: App| match app.plan().unwrap_err() {
        AppError::PlainAndSecret { env, work } => {
            format!("{env} {}", work.as_ref().map_or("-", WorkName::as_str))
        }
        other => unreachable!("{other}"),
    };
    assert_eq!(
        conflict(
            NOTHING
                .app()
                .env("X", "1")
                .unwrap()
                .secret("X", "s")
                .unwrap()
        ),
        "X -"
    );
    let both = NOTHING
        .app()
        .with(env("X=1"))
        .unwrap()
        .with(secret("b:X=s"))
        .unwrap();
    assert_eq!(conflict(both), "X b");
    let both = NOTHING
        .app()
        .with(env("a:X=1"))
        .unwrap()
        .with(secret("X=s"))
        .unwrap();
    assert_eq!(conflict(both), "X a");
    let plain = Parts {
        top: "[env]\nX = '1'",
        ..NOTHING
    };
    assert_eq!(conflict(plain.app().secret("X", "s").unwrap()), "X -");
    let own = Parts {
        b: "env = { X = '1' }",
        ..NOTHING
    };
    assert_eq!(conflict(own.app().secret("X", "s").unwrap()), "X b");
    assert_eq!(
        conflict(env_file(NOTHING.app(), "X=1").secret("X", "s").unwrap()),
        "X -"
    );
    // What is only asked for counts, before it is said to be uncovered.
    let asked = Parts {
        top: "[secrets]\nX = 's'",
        ..NOTHING
    };
    assert_eq!(conflict(asked.app().env("X", "1").unwrap()), "X -");

    // Different components may see one name in different ways.
    let app = NOTHING
        .app()
        .with(env("a:X=1"))
        .unwrap()
        .with(secret("b:X=s"))
        .unwrap();
    assert_eq!(
        (seen(&app, "X"), seen_secret(&app.plan().unwrap(), "X")),
        ("- 1 -".into(), "- - s".into())
    );
}

#[test]
fn folders_and_hosts_are_the_flows_unless_a_work_is_named() {
    let app = NOTHING
        .app()
        .dir("data")
        .unwrap()
        .allow_host("example.com")
        .unwrap();
    let app = app
        .with("a:in::/in:ro".parse::<Scoped<DirRule>>().unwrap())
        .unwrap();
    let plan = app.with(host("b:db:5432")).unwrap().plan().unwrap();
    let dirs = |c: &ComponentPlan| c.dirs.iter().map(ToString::to_string).collect::<String>();
    let hosts = |c: &ComponentPlan| c.hosts.iter().map(ToString::to_string).collect::<String>();
    let all: Vec<_> = components(&plan)
        .into_iter()
        .map(|c| (dirs(c), hosts(c)))
        .collect();
    let expected = [("data", "example.com"), ("in::/in:ro", ""), ("", "db:5432")];
    assert_eq!(all, expected.map(|(d, h)| (d.to_owned(), h.to_owned())));
}

#[test]
fn a_manifest_cannot_raise_its_own_memory_limit() {
    let asks = "memory = '20GiB'";
    let parts = Parts {
        flow: asks,
        a: asks,
        ..NOTHING
    };
    let memory = |plan: Plan| -> Vec<_> {
        let components = components(&plan);
        components
            .iter()
            .map(|component| component.memory)
            .collect()
    };
    let gib = |number: u64| number << 30;
    let plan = parts.app().plan().unwrap();
    assert_eq!(memory(plan), [gib(1), gib(1), gib(1)]);
    let plan = parts.app().memory(3 << 30).plan().unwrap();
    assert_eq!(memory(plan), [gib(3), gib(3), gib(1)]);
    // Nor is there a component that does not keep to the operator's.
    let plan = parts.app().memory(1 << 20).plan().unwrap();
    assert_eq!(memory(plan), [1 << 20; 3]);
}

#[test]
fn limits() {
    let parts = Parts {
        flow: "timeout = '1s'\nmemory = '1MiB'",
        a: "timeout = '2s'\nmemory = '2MiB'\nparallel = 3\nretries = 4\nretry = 'error'\ncache = true",
        ..NOTHING
    };
    let limits = |plan: &Plan| -> Vec<_> {
        components(plan)
            .iter()
            .map(|c| (c.timeout.map(|t| t.as_secs()), c.memory))
            .collect()
    };
    let (mib, work) = (1 << 20, Some(DEFAULT_WORK_TIMEOUT.as_secs()));
    let plan = parts.app().plan().unwrap();
    assert_eq!(
        limits(&plan),
        [(Some(1), mib), (Some(2), 2 * mib), (work, DEFAULT_MEMORY)]
    );
    let a = &plan.works[&"a".parse().unwrap()];
    assert_eq!((a.parallel.map(NonZeroU32::get), a.retries), (Some(3), 4));
    assert_eq!((a.retry_on, a.cache), (RetryOn::Error, true));
    let b = &plan.works[&"b".parse().unwrap()];
    assert_eq!(
        (b.parallel, b.retries, b.retry_on, b.cache),
        (None, 0, RetryOn::Fault, false)
    );

    let app = parts.app().timeout(Duration::from_secs(9)).memory(9);
    let plan = app.plan().unwrap();
    assert_eq!(limits(&plan), [(Some(9), 9), (Some(2), 9), (work, 9)]);
    assert_eq!(
        limits(&NOTHING.app().plan().unwrap())[0],
        (None, DEFAULT_MEMORY)
    );
}

#[test]
fn what_the_operator_gave_is_checked() {
    let long = Duration::from_secs(366 * 24 * 60 * 60);
    for app in [
        NOTHING.app().name(""),
        NOTHING.app().name("a\nb"),
        NOTHING.app().timeout(Duration::ZERO),
        NOTHING.app().timeout(long),
        NOTHING.app().memory(0),
    ] {
        let error = app.plan().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(matches!(error, AppError::Value { .. }), "{error}");
    }
    assert_eq!(NOTHING.app().name("mine").plan().unwrap().name, "mine");
}

#[test]
fn requests_that_nobody_covers_say_what_would() {
    let parts = Parts {
        top: "[secrets]\nS = 'my-secret@3'",
        flow: "hosts = ['example.com']",
        a: "hosts = ['example.com', 'http://localhost:80']",
        b: "secrets = []",
    };
    let app = parts.app().name("mine");
    assert_eq!(
        app.plan().unwrap_err().to_string(),
        format!(
            "`mine` asks for more than it is allowed:\n  \
         the secret `my-secret@3` as S, for the Flow, the Work `a`; \
         to allow it: --secret S=my-secret@3\n  \
         to reach example.com, for the Flow, the Work `a`; \
         to allow it: --allow-host example.com --allow-host a:example.com\n  \
         to reach http://localhost, for the Work `a`; \
         to allow it: --allow-host a:http://localhost\n\
         or, for all of it and from now on: leyden trust {}",
            app.folder().unwrap().display()
        )
    );
}

#[test]
fn doing_what_is_said_covers_every_request() {
    let parts = Parts {
        top: "[secrets]\nS = 'my-secret'\nT = 't:base64'",
        flow: "secrets = ['S']\nhosts = ['example.com', '[::1]:80']",
        a: "hosts = ['[::1]:80']",
        b: "",
    };
    for first in [None, Some("a:T=x"), Some("a:S=x"), Some("S=x")] {
        let mut app = parts.app();
        if let Some(first) = first {
            app = app.with(secret(first)).unwrap();
        }
        for option in uncovered(&app).into_iter().flat_map(|(_, options)| options) {
            app = match option.split_once(' ').unwrap() {
                ("--secret", typed) => app.with(secret(typed)).unwrap(),
                ("--allow-host", typed) => app.with(host(typed)).unwrap(),
                other => unreachable!("{other:?}"),
            };
        }
        app.plan().unwrap();
    }
}

#[test]
fn what_covers_a_secret() {
    let parts = Parts {
        top: "[secrets]\nS = 'theirs'",
        ..NOTHING
    };
    let of = |options: &[&str]| {
        vec![(
            "the secret `theirs` as S".to_owned(),
            options.iter().map(|o| (*o).into()).collect(),
        )]
    };
    assert_eq!(uncovered(&parts.app()), of(&["--secret S=theirs"]));
    // Any secret will do, since the operator chooses.
    let app = parts.app().secret("S", "mine").unwrap();
    assert_eq!(seen_secret(&app.plan().unwrap(), "S"), "mine mine mine");
    // For a Work alone is not for the Flow.
    let app = parts.app().with(secret("a:S=mine")).unwrap();
    assert_eq!(uncovered(&app), of(&["--secret S=theirs"]));
    // Another name does not cover it.
    assert_eq!(
        uncovered(&parts.app().secret("T", "theirs").unwrap()),
        of(&["--secret S=theirs"])
    );

    // Where only Works ask, each that is left is named.
    let parts = Parts {
        flow: "secrets = []",
        ..parts
    };
    let app = parts.app().with(secret("a:S=mine")).unwrap();
    assert_eq!(uncovered(&app), of(&["--secret b:S=theirs"]));
    let app = app.with(secret("b:S=mine")).unwrap();
    assert_eq!(seen_secret(&app.plan().unwrap(), "S"), "- mine mine");
}

#[test]
fn what_covers_a_host() {
    let parts = Parts {
        a: "hosts = ['example.com']",
        ..NOTHING
    };
    for (given, covers) in [
        ("a:example.com", true),
        ("a:example.com:443", true),
        ("example.com", false),
        ("b:example.com", false),
        ("a:example.com:5432", false),
        ("a:http://example.com", false),
        ("a:www.example.com", false),
    ] {
        let app = parts.app().with(host(given)).unwrap();
        assert_eq!(app.plan().is_ok(), covers, "{given}");
    }
}

#[test]
fn grants_cover_what_the_operator_did_not() {
    let parts = Parts {
        top: "[secrets]\nS = 's'\nT = 't'",
        b: "hosts = ['example.com']",
        ..NOTHING
    };
    let app = parts.app().secret("S", "mine").unwrap();
    let mut asked = Vec::new();
    let plan = app
        .plan_with(|request| {
            asked.push(format!(
                "{} {}",
                request.work.as_ref().map_or("-", |w| w.as_str()),
                request.ask
            ));
            true
        })
        .unwrap();
    // Nobody is asked about what the operator bound.
    let t = "the secret `t` as T";
    assert_eq!(
        asked,
        [
            format!("- {t}"),
            format!("a {t}"),
            format!("b {t}"),
            "b to reach example.com".into()
        ]
    );
    assert_eq!(
        (seen_secret(&plan, "S"), seen_secret(&plan, "T")),
        ("mine mine mine".into(), "t! t! t!".into())
    );
    assert_eq!(plan.works[&"b".parse().unwrap()].component.hosts.len(), 1);
    assert!(plan.flow.hosts.is_empty());

    // What is granted to one component is not to another.
    let error = app.plan_with(|request| request.work.is_none()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Uncovered);
}

#[test]
fn all_requests_can_be_listed() {
    let parts = Parts {
        top: "[secrets]\nS = 's'",
        flow: "hosts = ['x.de']",
        a: "secrets = []",
        b: "",
    };
    let requests: Vec<_> = parts
        .app()
        .manifest()
        .requests()
        .into_iter()
        .map(|r| {
            format!(
                "{} {}",
                r.work.as_ref().map_or("-", WorkName::as_str),
                r.ask
            )
        })
        .collect();
    assert_eq!(
        requests,
        [
            "- the secret `s` as S",
            "- to reach x.de",
            "b the secret `s` as S"
        ]
    );
}

#[test]
fn a_bare_component_asks_for_nothing() {
    let app = App::from_bytes("bare", MODULE).unwrap();
    let plan = app.plan().unwrap();
    assert!(plan.works.is_empty() && plan.flow.env.is_empty() && plan.flow.secrets.is_empty());
    assert_eq!(
        (plan.name.as_str(), plan.flow.source.name()),
        ("bare", "bare")
    );
}

#[test]
fn no_value_is_shown_by_debug() {
    let parts = Parts {
        top: "[env]\nX = 'hunter2'",
        ..NOTHING
    };
    let app = env_file(parts.app().env("Y", "hunter2").unwrap(), "Z=hunter2");
    assert!(!format!("{app:?} {:?}", app.plan().unwrap()).contains("hunter2"));
}
