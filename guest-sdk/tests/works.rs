//! A Flow and its Works as their authors test them: natively, without a sandbox.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails may panic"
)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use leyden_guest::{Failure, Started, Status, WorkError, as_completed, testing, wait_any, work};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Job {
    text: String,
    times: usize,
}

#[leyden_guest::work]
fn repeat(Job { text, times }: Job) -> Result<Vec<String>, String> {
    match times {
        0 => Err(format!("{text} not even once")),
        13 => panic!("thirteen"),
        _ => Ok(vec![text; times]),
    }
}

#[leyden_guest::work(bytes)]
fn reversed(mut input: Vec<u8>) -> Result<Vec<u8>, Infallible> {
    input.reverse();
    Ok(input)
}

#[leyden_guest::work]
fn answer() -> Result<u32, Infallible> {
    Ok(42)
}

fn job(text: &str, times: usize) -> Job {
    let text = text.into();
    Job { text, times }
}

/// A Work that ends when it is told to. What is sent becomes its output.
fn register_gate(name: &str) -> Sender<u32> {
    let (open, gate) = channel();
    let gate = Mutex::new(gate);
    testing::register(name, move || {
        let gate = gate.lock().map_err(|error| error.to_string())?;
        gate.recv().map_err(|error| error.to_string())
    });
    open
}

fn until_it_is(started: &Started, status: Status) {
    while started.status() != status {
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn json_goes_in_and_out() {
    testing::register("repeat", repeat);
    testing::register("answer", answer);
    let started = work("repeat").unwrap().start(&job("a", 2)).unwrap();
    assert_eq!(started.work(), "repeat");
    assert_eq!(started.wait::<Vec<String>>().unwrap(), ["a", "a"]);
    assert_eq!(started.status(), Status::Succeeded);
    // Again, and as it is.
    assert_eq!(started.wait_bytes().unwrap(), b"[\"a\",\"a\"]");
    let answer = work("answer").unwrap();
    assert_eq!(answer.start(&()).unwrap().wait::<u32>().unwrap(), 42);
}

#[test]
fn bytes_go_in_and_out() {
    testing::register_bytes("reversed", reversed);
    let reversed = work("reversed").unwrap();
    let all: Vec<u8> = (0..=255).collect();
    let back = reversed.start_bytes(&all).wait_bytes().unwrap();
    assert!(back.iter().rev().eq(&all));
    assert_eq!(reversed.start_bytes("").wait_bytes().unwrap(), b"");
}

#[test]
fn failures_are_told_apart() {
    testing::register("repeat", repeat);
    let repeat = work("repeat").unwrap();
    let failure = |job: &Job| {
        let started = repeat.start(job).unwrap();
        let error = started.wait::<Vec<String>>().unwrap_err();
        assert_eq!(started.status(), Status::Failed);
        error.failure().cloned().unwrap()
    };
    let own = Failure::Error("a not even once".into());
    assert_eq!(failure(&job("a", 0)), own);
    let trap = Failure::Trap("panicked: thirteen".into());
    assert_eq!(failure(&job("a", 13)), trap);
    for told in [
        Failure::Exit(3),
        Failure::TimedOut(Duration::from_secs(30)),
        Failure::OutOfMemory(1 << 20),
        Failure::Refused("too large".into()),
    ] {
        testing::register_failure("repeat", told.clone());
        assert_eq!(failure(&job("a", 1)), told);
    }
}

#[test]
fn what_does_not_fit_is_told_without_its_value() {
    testing::register("repeat", repeat);
    let repeat = work("repeat").unwrap();
    // What the Work cannot read is its error.
    let error = repeat
        .start(&["hunter2"])
        .unwrap()
        .wait::<()>()
        .unwrap_err();
    let said = error.to_string();
    assert!(
        said.starts_with("repeat failed: its input cannot be read as "),
        "{said}"
    );
    assert!(!format!("{said}{error:?}").contains("hunter2"));
    // What the Flow cannot read is the Flow's.
    let started = repeat.start(&job("hunter2", 1)).unwrap();
    let error = started.wait::<Vec<u8>>().unwrap_err();
    assert!(matches!(&error, WorkError::Output { work, .. } if work == "repeat"));
    assert_eq!(error.failure(), None);
    assert!(!format!("{error}{error:?}").contains("hunter2"));
    assert_eq!(started.wait::<Vec<String>>().unwrap(), ["hunter2"]);
    // And what cannot be JSON is not started.
    let keys = BTreeMap::from([(vec![1], 1)]);
    let error = repeat.start(&keys).unwrap_err();
    assert!(error.to_string().contains("BTreeMap"), "{error}");
}

#[test]
fn an_unknown_name_is_told_with_what_there_is() {
    let said = |name| work(name).unwrap_err().to_string();
    assert_eq!(
        said("train"),
        "the app has no Work train: its leyden.toml names none"
    );
    testing::register("train", answer);
    testing::register("evaluate", answer);
    assert_eq!(
        said("tain"),
        "the app has no Work tain: did you mean train?"
    );
    assert_eq!(
        said("x"),
        "the app has no Work x: its leyden.toml names evaluate, train"
    );
}

#[test]
fn each_test_has_its_own_works() {
    testing::register("answer", answer);
    thread::spawn(|| assert!(work("answer").is_err()))
        .join()
        .unwrap();
}

#[test]
fn any_is_the_one_that_ended() {
    let open = register_gate("gate");
    testing::register("answer", answer);
    assert_eq!(wait_any::<Started>(&[]), None);
    let gate = work("gate").unwrap().start(&()).unwrap();
    let answer = work("answer").unwrap().start(&()).unwrap();
    assert_eq!(wait_any(&[&gate, &answer]), Some(1));
    until_it_is(&gate, Status::Running);
    open.send(7).unwrap();
    assert_eq!(wait_any(&[&gate]), Some(0));
    assert_eq!(gate.wait::<u32>().unwrap(), 7);
    assert_eq!(wait_any(&[gate, answer]), Some(0));
}

#[test]
fn each_is_given_once_as_it_ends() {
    let open = register_gate("gate");
    testing::register("repeat", repeat);
    let repeat = work("repeat").unwrap();
    let mut running = vec![work("gate").unwrap().start(&()).unwrap()];
    running.extend((1..100).map(|times| repeat.start(&job("a", times)).unwrap()));
    let mut ends = as_completed(running);
    assert_eq!(ends.len(), 100);
    let mut places = Vec::new();
    for (place, done) in ends.by_ref().take(99) {
        match (place, done.wait::<Vec<String>>()) {
            (13, end) => assert!(matches!(end, Err(WorkError::Failed { .. }))),
            (_, end) => assert_eq!(end.unwrap().len(), place),
        }
        places.push(place);
    }
    places.sort_unstable();
    assert!(places.iter().copied().eq(1..100));
    open.send(1).unwrap();
    assert_eq!(ends.next().unwrap().0, 0);
    assert!(ends.next().is_none());
    assert!(as_completed([]).next().is_none());
}

#[test]
fn stopping_ends_what_waits_and_what_runs() {
    let open = register_gate("gate");
    let ran = Arc::new(AtomicUsize::new(0));
    let counted = ran.clone();
    testing::register("count", move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok::<_, Infallible>(())
    });
    // As many that wait for the gate as run at once; so the next has to wait its turn.
    let gate = work("gate").unwrap();
    let gates: Vec<Started> = (0..8).map(|_| gate.start(&()).unwrap()).collect();
    let waits = work("count").unwrap().start(&()).unwrap();
    for gate in &gates {
        until_it_is(gate, Status::Running);
    }
    assert_eq!(waits.status(), Status::Pending);
    waits.stop();
    assert_eq!(waits.status(), Status::Stopped);
    let stopped = waits.wait_bytes().unwrap_err();
    assert_eq!(stopped.failure(), Some(&Failure::Stopped));
    gates[0].stop();
    assert_eq!(wait_any(&gates), Some(0));
    for _ in &gates {
        open.send(1).unwrap();
    }
    for gate in gates.iter().skip(1) {
        gate.wait::<u32>().unwrap();
        // What has ended stays as it ended.
        gate.stop();
        assert_eq!(gate.status(), Status::Succeeded);
    }
    assert_eq!(gates[0].status(), Status::Stopped);
    let next = work("count").unwrap().start(&()).unwrap();
    next.wait::<()>().unwrap();
    assert_eq!(ran.load(Ordering::SeqCst), 1);
}

#[test]
fn map_keeps_the_order_of_thousands() {
    testing::register("square", |n: u64| match n % 1000 {
        999 => Err("no thousands"),
        _ => Ok(n * n),
    });
    let square = work("square").unwrap();
    let results: Vec<Result<u64, WorkError>> = square.map(0..10_000u64).collect();
    assert_eq!(results.len(), 10_000);
    for (n, result) in (0..).zip(results) {
        match result {
            Ok(square) => assert_eq!(square, n * n),
            Err(error) => {
                assert_eq!(n % 1000, 999);
                assert_eq!(error.to_string(), "square failed: no thousands");
            }
        }
    }
}

#[test]
fn map_holds_neither_all_inputs_nor_all_outputs() {
    testing::register("answer", answer);
    let taken = AtomicUsize::new(0);
    let inputs = (0..100_000u32).inspect(|_| {
        taken.fetch_add(1, Ordering::Relaxed);
    });
    let answer = work("answer").unwrap();
    let mut results = answer.map::<u32, _>(inputs);
    assert_eq!(taken.load(Ordering::Relaxed), 0);
    let mut count = 0;
    while let Some(result) = results.next() {
        assert_eq!(result.unwrap(), 42);
        count += 1;
        assert!(taken.load(Ordering::Relaxed) - count < 1024);
        assert_eq!(
            results.size_hint(),
            (100_000 - count, Some(100_000 - count))
        );
    }
    assert_eq!(count, 100_000);
}

#[test]
fn an_input_that_cannot_be_started_keeps_its_place() {
    testing::register("count", |input: BTreeMap<String, u32>| {
        Ok::<_, String>(input.len())
    });
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Keys {
        Text(BTreeMap<&'static str, u32>),
        Lists(BTreeMap<Vec<u32>, u32>),
    }
    let inputs = [
        Keys::Text([("a", 1)].into()),
        Keys::Lists([(vec![1], 1)].into()),
        Keys::Text([("a", 1), ("b", 2)].into()),
    ];
    let results: Vec<_> = work("count").unwrap().map::<usize, _>(inputs).collect();
    assert_eq!(results[0], Ok(1));
    assert!(matches!(results[1], Err(WorkError::Input { .. })));
    assert_eq!(results[2], Ok(2));
}

#[test]
fn a_flow_that_ends_takes_its_works_with_it() {
    let ran = Arc::new(AtomicBool::new(false));
    let told = ran.clone();
    let (gates, open, waits) = thread::spawn(move || {
        let open = register_gate("gate");
        testing::register("tell", move || {
            told.store(true, Ordering::SeqCst);
            Ok::<_, Infallible>(())
        });
        let gate = work("gate").unwrap();
        let gates: Vec<Started> = (0..8).map(|_| gate.start(&()).unwrap()).collect();
        for gate in &gates {
            until_it_is(gate, Status::Running);
        }
        let waits = work("tell").unwrap().start(&()).unwrap();
        (gates, open, waits)
    })
    .join()
    .unwrap();
    let stopped = waits.wait_bytes().unwrap_err();
    assert_eq!(stopped.failure(), Some(&Failure::Stopped));
    for _ in &gates {
        open.send(1).unwrap();
    }
    for gate in &gates {
        gate.wait::<u32>().unwrap();
    }
    assert!(!ran.load(Ordering::SeqCst));
}
