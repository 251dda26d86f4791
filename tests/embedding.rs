//! The library inside a service: many instances at once, out of a pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leyden::app::{DirRule, Scoped};
use leyden::run::Observer;
use leyden::run::journal::{RunState, Runs};
use leyden::sandbox::Failure;
use leyden::{App, Ending, Event, Host, Input, Key, Output, SecretStore};

use crate::support::{Home, guest};

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_runs_as_many_instances_as_it_was_built_for() {
    let cache = Home::new();
    for (name, arguments) in [
        ("env-p1", &[][..]),
        ("env-p2", &[]),
        ("env-p3", &[]),
        ("seed-python", &[]),
    ] {
        for most in [1, 3] {
            let host = Host::builder()
                .instances(most)
                .cache(cache.path().join("cache"))
                .build()
                .unwrap();
            let app = App::from_path(guest(name))
                .unwrap()
                .env("MY_APP_SECRET", "plain")
                .unwrap();
            let bound = host.bind(&app).await.unwrap();
            for _ in 0..3 {
                let (stdout, printed) = Output::capture(1 << 10);
                let input = Input {
                    arguments: arguments.to_vec(),
                    stdout,
                    ..Input::default()
                };
                let outcome = bound.run(input).await.unwrap();
                assert_eq!(outcome.ending, Ending::Exited(0), "{name}");
                let printed = String::from_utf8(printed.take()).unwrap();
                assert!(printed.contains("plain"), "{name}: {printed}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_instances_than_the_pool_has_are_refused_and_none_hangs() {
    let host = Host::builder().instances(4).build().unwrap();
    let app = App::from_path(guest("probe-p2"))
        .unwrap()
        .timeout(Duration::from_secs(2));
    let bound = host.bind(&app).await.unwrap();
    let mut runs = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let bound = bound.clone();
        runs.spawn(async move {
            let input = Input {
                arguments: vec!["sleep".into(), "60".into()],
                ..Input::default()
            };
            bound.run(input).await
        });
    }
    let ended = runs.join_all().await;
    let timed_out = |ran: &Result<leyden::Outcome, _>| matches!(ran, Ok(outcome) if matches!(outcome.ending, Ending::TimedOut(_)));
    assert_eq!(ended.iter().filter(|ran| timed_out(ran)).count(), 4);
    for refused in ended.iter().filter_map(|ran| ran.as_ref().err()) {
        assert!(
            refused.to_string().contains("as many instances"),
            "{refused}"
        );
    }
    // The slots are free again.
    let outcome = bound.run(Input::default()).await.unwrap();
    assert_eq!(outcome.ending, Ending::Exited(1), "it wants a command");
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_share_no_memory_and_a_computing_one_starves_nobody() {
    let host = Host::builder().instances(8).build().unwrap();
    let app = App::from_path(guest("probe-p2"))
        .unwrap()
        .timeout(Duration::from_secs(3));
    let bound = host.bind(&app).await.unwrap();
    let looping: Vec<_> = (0..4)
        .map(|_| {
            let bound = bound.clone();
            tokio::spawn(async move {
                let input = Input {
                    arguments: vec!["loop".into()],
                    ..Input::default()
                };
                bound.run(input).await
            })
        })
        .collect();
    for _ in 0..10 {
        let (stdout, printed) = Output::capture(100);
        let input = Input {
            arguments: vec!["echo".into()],
            stdin: leyden::sandbox::Input::Bytes("text".into()),
            stdout,
            ..Input::default()
        };
        bound.run(input).await.unwrap();
        assert_eq!(printed.take(), b"text");
    }
    assert!(
        looping.iter().all(|run| !run.is_finished()),
        "they still loop"
    );
    for run in looping {
        let outcome = run.await.unwrap().unwrap();
        assert_eq!(outcome.ending, Ending::TimedOut(Duration::from_secs(3)));
    }
}

/// An app of a Flow that runs scripts and a Work that does what it is told, on disk.
fn probe_app(folder: &std::path::Path, manifest: &str) -> App {
    for name in ["flow-probe", "work-probe"] {
        let file = format!("{name}.wasm");
        std::fs::copy(guest(name), folder.join(file)).unwrap();
    }
    let manifest = format!(
        "[flow]\ncomponent = \"flow-probe.wasm\"\n\
         [works.probe]\ncomponent = \"work-probe.wasm\"\n{manifest}"
    );
    std::fs::write(folder.join("leyden.toml"), manifest).unwrap();
    App::from_path(folder).unwrap()
}

fn script(text: &str) -> Input {
    Input {
        arguments: vec![text.to_owned()],
        ..Input::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_started_app_tells_what_happens_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().instances(1).works(2).build().unwrap();
    let app = probe_app(folder.path(), "");
    let bound = host.bind(&app).await.unwrap();
    assert_eq!(bound.works().collect::<Vec<_>>(), ["probe"]);
    let mut running = bound.start(
        script(
            r#"[{"start":{"work":"probe","input":{"return":1},"times":3}},
                {"start":{"work":"probe","input":{"error":"no"}}},{"wait":"all"}]"#,
        ),
        None,
    );
    let (mut queued, mut started, mut ended, mut failed) = (0, 0, 0, 0);
    while let Some(event) = running.next_event().await {
        match event {
            Event::Queued(_) => queued += 1,
            Event::Started(_, 1) => started += 1,
            Event::Ended { result: Ok(_), .. } => ended += 1,
            Event::Ended { result: Err(_), .. } => failed += 1,
            _ => {}
        }
    }
    assert_eq!((queued, started, ended, failed), (4, 4, 3, 1));
    let outcome = running.outcome().await.unwrap();
    assert_eq!(outcome.ending, Ending::Exited(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_that_panics_takes_no_run_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().instances(1).works(2).build().unwrap();
    let app = probe_app(folder.path(), "parallel = 1\nretries = 1\n");
    let bound = host.bind(&app).await.unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    let input = || {
        let told = Arc::clone(&told);
        let observer = Observer::new(move |event| {
            told.fetch_add(1, Ordering::Relaxed);
            panic!("at {event:?}");
        });
        Input {
            observer: Some(observer),
            ..script(
                r#"[{"start":{"work":"probe","input":[{"stdout":"line"},{"return":1}],"times":3}},
                    {"start":{"work":"probe","input":"trap"}},{"wait":"all"}]"#,
            )
        }
    };
    let outcome = bound.run(input()).await.unwrap();
    assert_eq!(outcome.ending, Ending::Exited(0));
    let each = told.swap(0, Ordering::Relaxed);
    // Each queued, begun and ended; three lines, and one that is tried again.
    assert_eq!(each, 4 * 3 + 3 + 2);
    // Whoever reads the events misses none of them.
    let mut running = bound.start(input(), None);
    let mut read = 0;
    while running.next_event().await.is_some() {
        read += 1;
    }
    assert_eq!((read, told.load(Ordering::Relaxed)), (each, each));
    assert_eq!(running.outcome().await.unwrap().ending, Ending::Exited(0));
}

#[test]
fn a_panic_of_the_host_fails_the_work_and_others_have_its_place() {
    // Without a clock: whatever waits for a time panics, and so does, by its limit of time, a Work that
    // is interrupted because it has computed for a tick. Of several, some have not.
    let others = vec![r#"{"start":{"work":"probe","input":{"return":1}}}"#; 30].join(",");
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().instances(1).works(1).build().unwrap();
    let bound = runtime.block_on(host.bind(&probe_app(folder.path(), "parallel = 1\n")));
    let bound = bound.unwrap();
    let runs = Runs::new(folder.path().join("runs"));
    let journal = host.begin(&runs, &bound, b"").unwrap();
    let id = journal.id().clone();
    let (told, heard) = std::sync::mpsc::channel();
    let (stdout, printed) = Output::capture(1 << 10);
    let input = Input {
        stdout,
        observer: Some(Observer::new(move |event| {
            if let Event::Ended { result, .. } = event {
                told.send(result.clone()).unwrap();
            }
        })),
        ..script(&format!(
            r#"[{{"start":{{"work":"probe","input":{{"sleep":1}}}}}},{{"wait":"all"}},
                {others},{{"wait":"all"}}]"#,
        ))
    };
    let _inside = runtime.enter();
    let running = bound.start(input, Some(journal));
    // Far above what it takes: where the worker is gone, nothing is ever told.
    let next = || heard.recv_timeout(Duration::from_secs(90)).unwrap();
    let failed = next().unwrap_err();
    assert!(failed.to_string().contains("the host failed"), "{failed}");
    let ends: Vec<_> = (0..30).map(|_| next()).collect();
    assert!(ends.iter().any(Result::is_ok), "{ends:?}");
    let mut failures = ends.iter().filter_map(|end| end.as_ref().err());
    assert!(failures.all(|failure| *failure == failed), "{ends:?}");
    // Nor does the end of the Flow, which gives its Works a time, go well here.
    runtime.block_on(running.outcome()).unwrap_err();
    let printed = String::from_utf8(printed.take()).unwrap();
    assert!(printed.contains(r#""failure":"refused""#), "{printed}");
    assert!(printed.contains(r#""output":1"#), "{printed}");
    let works = runs.works(&id).unwrap();
    assert_eq!(works[0].failure, Some(failed));
    assert_eq!(works.len(), 31);
    assert!(works.iter().any(|work| work.failure.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_panics_ends_its_run_and_is_told_for_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().instances(1).works(1).build().unwrap();
    let bound = host.bind(&probe_app(folder.path(), "")).await.unwrap();
    let input = || Input {
        stdout: Output::to(|_| panic!("of the embedder's")),
        ..script(r#"[{"print":"line"}]"#)
    };
    for error in [
        bound.run(input()).await.unwrap_err(),
        bound.start(input(), None).outcome().await.unwrap_err(),
    ] {
        let told = error.to_string();
        assert!(
            matches!(error, leyden::Error::Task(_))
                && told.starts_with("a task of the host ended early: ")
                && told.contains("panicked"),
            "{told}"
        );
    }
    // Its place is free again.
    let outcome = bound.run(script("[]")).await.unwrap();
    assert_eq!(outcome.ending, Ending::Exited(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_started_app_can_be_stopped_and_its_journal_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().instances(1).works(4).build().unwrap();
    let app = probe_app(folder.path(), "parallel = 2\n");
    let bound = host.bind(&app).await.unwrap();
    let runs = Runs::new(folder.path().join("runs"));
    let journal = host.begin(&runs, &bound, b"").unwrap();
    let id = journal.id().clone();
    let mut running = bound.start(
        script(
            r#"[{"start":{"work":"probe","input":"loop","times":2}},
                {"start":{"work":"probe","input":{"sleep":600000},"times":2}},{"wait":"all"}]"#,
        ),
        Some(journal),
    );
    let mut started = 0;
    while started < 2 {
        let event = running.next_event().await.unwrap();
        started += i32::from(matches!(event, Event::Started(..)));
    }
    // The journal is made beside the run.
    let run = loop {
        match runs.show(&id) {
            Ok(run) => break run,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    assert_eq!(run.state, RunState::Running);
    running.stop();
    let outcome = running.outcome().await.unwrap();
    assert_eq!(outcome.ending, Ending::Stopped);
    let run = runs.show(&id).unwrap();
    assert_eq!((run.state, run.works, run.failed), (RunState::Ended, 4, 0));
    for work in runs.works(&id).unwrap() {
        assert_eq!(work.failure, Some(Failure::Stopped));
    }
    // Its places are free again.
    let outcome = bound.run(script("[]")).await.unwrap();
    assert_eq!(outcome.ending, Ending::Exited(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_app_leaves_no_work_behind() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().instances(1).works(2).build().unwrap();
    let app = probe_app(folder.path(), "parallel = 2\n");
    let bound = host.bind(&app).await.unwrap();
    // More rounds than there are places: a Work that went on would hold one.
    for _ in 0..4 {
        let input =
            script(r#"[{"start":{"work":"probe","input":"loop","times":2}},{"wait":"all"}]"#);
        let mut running = bound.start(input, None);
        let mut started = 0;
        while started < 2 {
            let event = running.next_event().await.unwrap();
            started += i32::from(matches!(event, Event::Started(..)));
        }
        drop(running);
        // The task ends at its next turn.
        while bound.run(script("[]")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_app_is_gone_on_with_and_no_finished_work_runs_again() {
    let home = Home::with_my_secret();
    let data = home.path().join("data-for-works");
    std::fs::create_dir(&data).unwrap();
    let key = Key::from_file(home.key_file()).unwrap();
    let store = SecretStore::open(home.store(), key).unwrap();
    let host = Host::builder().secrets(store).works(2).build().unwrap();
    let folder = home.path().join("app");
    std::fs::create_dir(&folder).unwrap();
    let dir = format!("probe:{}::/d", data.display());
    let app = probe_app(&folder, "parallel = 2\n");
    let app = app.with(dir.parse::<Scoped<DirRule>>().unwrap());
    let bound = host.bind(&app.unwrap()).await.unwrap();
    let runs = Runs::new(home.path().join("runs"));
    let journal = host.begin(&runs, &bound, b"").unwrap();
    let id = journal.id().clone();
    let starts = r#"{"start":{"work":"probe","input":[{"attempt":"/d/one"},{"return":1}]}},
                    {"start":{"work":"probe","input":[{"attempt":"/d/two"},{"error":"no"}]}},
                    {"wait":"all"}"#;
    let first =
        format!(r#"[{starts},{{"start":{{"work":"probe","input":"loop"}}}},{{"wait":"all"}}]"#);
    let mut running = bound.start(script(&first), Some(journal));
    // The third begins once the Flow has heard of the others.
    while !matches!(running.next_event().await.unwrap(), Event::Started(id, _) if id.number == 3) {}
    drop(running);
    // The task ends at its next turn, and the journal with it.
    let claim = loop {
        match runs.claim(&id) {
            Ok(claim) => break claim,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    drop(claim);
    let run = runs.show(&id).unwrap();
    assert_eq!((run.state, run.damage), (RunState::Interrupted, None));
    let claim = runs.claim(&id).unwrap();
    let journal = host.resume(&runs, &bound, claim).unwrap();
    let (stdout, printed) = Output::capture(1 << 10);
    let input = Input {
        stdout,
        ..script(&format!("[{starts}]"))
    };
    let outcome = bound.start(input, Some(journal)).outcome().await.unwrap();
    assert_eq!(outcome.ending, Ending::Exited(0));
    let printed = String::from_utf8(printed.take()).unwrap();
    assert!(printed.contains("\"output\":1") && printed.contains("\"error\""));
    for name in ["one", "two"] {
        assert_eq!(std::fs::read_to_string(data.join(name)).unwrap(), "1\n");
    }
}
