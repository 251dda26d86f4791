//! Random starts, stops, failures and kills against a simple model of what a Work can be.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{App, Home, last_run, wait};

/// What a Work is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Returns,
    ReturnsLate,
    Errs,
    Traps,
    Exits,
    Sleeps,
}

impl Does {
    fn input(self, place: usize) -> Value {
        match self {
            Self::Returns => json!({ "return": place }),
            Self::ReturnsLate => json!([{ "sleep": 30 }, { "return": place }]),
            Self::Errs => json!({ "error": format!("of {place}") }),
            Self::Traps => json!("trap"),
            Self::Exits => json!({ "exit": 4 }),
            // Until somebody stops it.
            Self::Sleeps => json!({ "sleep": 600_000 }),
        }
    }

    /// How it ends if nobody stops it.
    fn end(self) -> &'static str {
        match self {
            Self::Returns | Self::ReturnsLate => "output",
            Self::Errs => "error",
            Self::Traps => "trap",
            Self::Exits => "exit",
            Self::Sleeps => "stopped",
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Start(Does),
    Stop(prop::sample::Index),
    Status,
    Pause,
}

/// What becomes of the Flow after its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Waits,
    Ends,
    Traps,
    IsKilled,
}

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        4 => Just(Does::Returns),
        3 => Just(Does::ReturnsLate),
        1 => Just(Does::Errs),
        1 => Just(Does::Traps),
        1 => Just(Does::Exits),
        2 => Just(Does::Sleeps),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => does().prop_map(Step::Start),
        2 => any::<prop::sample::Index>().prop_map(Step::Stop),
        2 => Just(Step::Status),
        1 => Just(Step::Pause),
    ];
    prop::collection::vec(step, 1..25)
}

fn last() -> impl Strategy<Value = Last> {
    prop_oneof![
        3 => Just(Last::Waits),
        1 => Just(Last::Ends),
        1 => Just(Last::Traps),
        2 => Just(Last::IsKilled),
    ]
}

/// The script, what each place does, and whether it was ever asked to stop.
struct Script {
    text: String,
    places: Vec<(Does, bool)>,
}

impl Script {
    fn new(steps: &[Step], last: Last) -> Self {
        let mut script = Vec::new();
        let mut places: Vec<(Does, bool)> = Vec::new();
        for step in steps {
            match step {
                Step::Start(does) => {
                    script.push(json!({
                        "start": { "work": "probe", "input": does.input(places.len()) },
                    }));
                    places.push((*does, false));
                }
                Step::Stop(which) if !places.is_empty() => {
                    let place = which.index(places.len());
                    places[place].1 = true;
                    script.push(json!({ "stop": [place] }));
                }
                Step::Status => script.push(json!("status")),
                Step::Pause => script.push(json!({ "sleep": 20 })),
                Step::Stop(_) => {}
            }
        }
        match last {
            Last::Waits => {
                let sleepers = (0..places.len()).filter(|at| places[*at].0 == Does::Sleeps);
                let sleepers: Vec<_> = sleepers.collect();
                for place in &sleepers {
                    places[*place].1 = true;
                }
                script.push(json!({ "stop": sleepers }));
                script.push(json!({ "wait": "all" }));
            }
            Last::Ends => {}
            Last::Traps => script.push(json!("trap")),
            Last::IsKilled => script.push(json!({ "sleep": 600_000 })),
        }
        Self {
            text: Value::from(script).to_string(),
            places,
        }
    }
}

fn moment(text: &Value) -> Timestamp {
    text.as_str().unwrap().parse().unwrap()
}

fn kind(failure: &Value) -> &str {
    failure["kind"].as_str().unwrap_or("output")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn works_keep_to_the_model(
        steps in steps(),
        last in last(),
        parallel in 1_usize..4,
        retries in 0_usize..2,
    ) {
        let home = Home::new();
        let app = App::scripted(&home, &format!("parallel = {parallel}\nretries = {retries}\n"));
        let script = Script::new(&steps, last);
        let mut child = home
            .leyden()
            .args(["run", "app"])
            .arg(app.path())
            .args(["--", &script.text])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if last == Last::IsKilled {
            std::thread::sleep(Duration::from_millis(300));
            child.kill().unwrap();
        }
        let status = wait(&mut child);
        let stdout = child.wait_with_output().unwrap().stdout;
        let told: Vec<Value> = String::from_utf8(stdout)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let expected = match last {
            Last::Waits | Last::Ends => 0,
            Last::Traps => 134,
            Last::IsKilled => 137,
        };
        prop_assert_eq!(status, expected);

        // No place ever goes back: pending, running, ended.
        let mut ranks = BTreeMap::new();
        for line in told.iter().filter(|line| line["status"].is_array()) {
            for (place, status) in line["status"].as_array().unwrap().iter().enumerate() {
                let rank = match status.as_str().unwrap() {
                    "pending" => 0,
                    "running" => 1,
                    _ => 2,
                };
                let before = ranks.insert(place, rank).unwrap_or(0);
                prop_assert!(before <= rank, "{:?}", told);
            }
        }
        // Each that was waited for ended as it must, or was stopped if it was asked to.
        let mut ends = BTreeMap::new();
        for line in told.iter().filter(|line| line["place"].is_u64()) {
            let place = usize::try_from(line["place"].as_u64().unwrap()).unwrap();
            let end = line["failure"].as_str().unwrap_or("output");
            let (does, stopped) = script.places[place];
            prop_assert!(end == does.end() || (stopped && end == "stopped"), "{}: {}", line, does.end());
            if end == "output" {
                prop_assert_eq!(&line["output"], &json!(place));
            }
            ends.insert(place, end.to_owned());
        }
        if last == Last::Waits {
            prop_assert_eq!(ends.len(), script.places.len());
        }

        // A process that dies at once may not have come to begin its journal.
        if home.run(["runs", "show", "last"]).status != 0 {
            prop_assert_eq!(last, Last::IsKilled);
            return Ok(());
        }
        let run = last_run(&home);
        let state = if last == Last::IsKilled { "interrupted" } else { "ended" };
        prop_assert_eq!(&run["state"], state);
        let works = run["works"].as_array().unwrap();
        if last != Last::IsKilled {
            prop_assert_eq!(works.len(), script.places.len());
        }
        let mut borders = Vec::new();
        for work in works {
            let place = usize::try_from(work["number"].as_u64().unwrap()).unwrap() - 1;
            let (does, stopped) = script.places[place];
            let ended = !work["ended"].is_null();
            let end = kind(&work["failure"]);
            // What the Flow heard is what is written.
            if let Some(told) = ends.get(&place) {
                prop_assert!(ended);
                prop_assert_eq!(told, end);
            }
            if ended {
                let may_be_stopped = stopped || last != Last::Waits;
                prop_assert!(end == does.end() || (may_be_stopped && end == "stopped"));
            } else {
                prop_assert_eq!(last, Last::IsKilled);
            }
            let attempts = work["attempts"].as_array().unwrap();
            let most = if does == Does::Traps { retries + 1 } else { 1 };
            prop_assert!(attempts.len() <= most);
            if ended && end == "trap" {
                prop_assert_eq!(attempts.len(), retries + 1);
            }
            for (at, attempt) in attempts.iter().enumerate() {
                prop_assert_eq!(&attempt["attempt"], &json!(at + 1));
            }
            // Between its attempts it has no place.
            for attempt in attempts.iter().filter(|_| ended) {
                borders.push((moment(&attempt["started"]), 1));
                borders.push((moment(&attempt["ended"]), -1));
            }
        }
        // No more than allowed at any moment; an end comes before a start of the same moment.
        borders.sort();
        let mut running = 0_i32;
        for (_, change) in borders {
            running += change;
            prop_assert!(running <= i32::try_from(parallel).unwrap(), "{}", run);
        }
    }
}
