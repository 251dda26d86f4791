//! The library inside a service: many instances at once, out of a pool.

use std::time::Duration;

use leyden::{App, Ending, Host, Input, Output};

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
