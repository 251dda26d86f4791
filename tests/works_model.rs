//! Random starts, stops, failures, time-outs, kills and resumptions against a simple model of what a
//! Work can be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{App, Home, last_run, wait};

/// What a Work is told to do. Each counts its attempts in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Returns,
    ReturnsLate,
    Errs,
    Traps,
    /// The first time that it is tried, in whatever life of the run.
    TrapsOnce,
    Exits,
    /// Until somebody stops it.
    Sleeps,
    /// These two beyond their time limit.
    Hangs,
    Loops,
    /// What is cached: all starts of one of these have the same input.
    Same(u8),
    SameErrs,
    SameTrapsOnce,
}

impl Does {
    fn work(self) -> &'static str {
        match self {
            Self::Hangs | Self::Loops => "timed",
            Self::Same(_) | Self::SameErrs | Self::SameTrapsOnce => "cached",
            _ => "probe",
        }
    }

    /// Where it counts its attempts.
    fn file(self, place: usize) -> String {
        match self.work() {
            "cached" => format!("{self:?}"),
            _ => place.to_string(),
        }
    }

    fn start(self, place: usize) -> Value {
        let file = format!("/d/{}", self.file(place));
        let count = json!({ "attempt": file });
        let input = match self {
            Self::Returns => json!([count, { "return": place }]),
            Self::ReturnsLate => json!([count, { "sleep": 30 }, { "return": place }]),
            Self::Errs => json!([count, { "error": format!("of {place}") }]),
            Self::Traps => json!([count, "trap"]),
            Self::TrapsOnce | Self::SameTrapsOnce => {
                json!({ "trap-before": { "file": file, "attempt": 2 } })
            }
            Self::Exits => json!([count, { "exit": 4 }]),
            Self::Sleeps | Self::Hangs => json!([count, { "sleep": 600_000 }]),
            Self::Loops => json!([count, "loop"]),
            Self::Same(which) => json!([count, { "sleep": 30 }, { "return": which }]),
            Self::SameErrs => json!([count, { "error": "of all" }]),
        };
        json!({ "start": { "work": self.work(), "input": input } })
    }

    /// How it ends if nobody stops it, and after how many attempts, where it was tried so often in
    /// an earlier life.
    fn end(self, retries: usize, before: usize) -> (&'static str, usize) {
        match self {
            Self::Returns | Self::ReturnsLate | Self::Same(_) => ("output", 1),
            Self::Errs | Self::SameErrs => ("error", 1),
            Self::Exits => ("exit", 1),
            Self::Sleeps => ("stopped", 1),
            Self::Hangs | Self::Loops => ("timed-out", retries + 1),
            Self::Traps => ("trap", retries + 1),
            Self::TrapsOnce | Self::SameTrapsOnce => match (before, retries) {
                (0, 0) => ("trap", 1),
                (0, _) => ("output", 2),
                _ => ("output", 1),
            },
        }
    }

    /// Whether it may end so, where alone it ends as given: another start may have had the trap.
    fn may_end(self, end: &str, alone: &str) -> bool {
        end == alone || (self == Self::SameTrapsOnce && end == "output")
    }
}

#[derive(Debug, Clone)]
enum Step {
    Start(Does),
    Stop(prop::sample::Index),
    Wait(prop::sample::Index),
    Status,
    Pause,
}

/// What becomes of the Flow after its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Waits,
    Ends,
    Traps,
    /// At the latest; or with its host, once so many events have been told.
    IsStopped(usize),
    IsKilled(usize),
}

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        3 => Just(Does::Returns),
        3 => Just(Does::ReturnsLate),
        1 => Just(Does::Errs),
        1 => Just(Does::Traps),
        1 => Just(Does::TrapsOnce),
        1 => Just(Does::Exits),
        1 => Just(Does::Sleeps),
        1 => Just(Does::Hangs),
        1 => Just(Does::Loops),
        3 => (0_u8..2).prop_map(Does::Same),
        1 => Just(Does::SameErrs),
        2 => Just(Does::SameTrapsOnce),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => does().prop_map(Step::Start),
        2 => any::<prop::sample::Index>().prop_map(Step::Stop),
        1 => any::<prop::sample::Index>().prop_map(Step::Wait),
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
        1 => (1_usize..80).prop_map(Last::IsStopped),
        4 => (1_usize..80).prop_map(Last::IsKilled),
    ]
}

/// What each place does, and whether it was ever asked to stop.
type Places = Vec<(Does, bool)>;

/// The script of these steps, and its places.
fn script(steps: &[Step], last: Last) -> (Value, Places) {
    let mut script = Vec::new();
    let mut places = Places::new();
    for step in steps {
        match step {
            Step::Start(does) => {
                script.push(does.start(places.len()));
                places.push((*does, false));
            }
            Step::Stop(which) if !places.is_empty() => {
                let place = which.index(places.len());
                places[place].1 = true;
                script.push(json!({ "stop": [place] }));
            }
            // Not for one that sleeps, nor for one that may wait behind it.
            Step::Wait(which) if !places.is_empty() && !places.iter().any(sleeps) => {
                script.push(json!({ "wait": [which.index(places.len())] }));
            }
            Step::Status => script.push(json!("status")),
            Step::Pause => script.push(json!({ "sleep": 20 })),
            Step::Stop(_) | Step::Wait(_) => {}
        }
    }
    match last {
        Last::Waits => script.extend(waits(&mut places)),
        Last::Ends => {}
        Last::Traps => script.push(json!("trap")),
        Last::IsStopped(_) | Last::IsKilled(_) => {
            script.extend([json!({ "print": "end" }), json!({ "sleep": 600_000 })]);
        }
    }
    (script.into(), places)
}

/// The script of another life: the same starts in another order.
fn script_again(places: &Places) -> (Value, Vec<usize>, Places) {
    let order: Vec<usize> = (0..places.len()).rev().collect();
    let mut script: Vec<_> = order.iter().map(|at| places[*at].0.start(*at)).collect();
    let mut again = order.iter().map(|at| (places[*at].0, false)).collect();
    script.extend(waits(&mut again));
    (script.into(), order, again)
}

fn sleeps((does, stopped): &(Does, bool)) -> bool {
    *does == Does::Sleeps && !stopped
}

/// Waits for all, and stops those that would never end.
fn waits(places: &mut Places) -> [Value; 2] {
    let mut sleepers = Vec::new();
    for (place, it) in places.iter_mut().enumerate() {
        if it.0 == Does::Sleeps {
            it.1 = true;
            sleepers.push(place);
        }
    }
    [json!({ "stop": sleepers }), json!({ "wait": "all" })]
}

/// One life of a run: what was told of it.
struct Life {
    status: i32,
    events: Vec<Value>,
    /// What the Flow printed.
    told: Vec<Value>,
}

/// Runs a command whose Flow reads this script, and stops or kills it as told.
fn live(command: &mut Command, script: &Path, last: Last) -> Life {
    let mut child = command
        .stdin(File::open(script).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut events = Vec::new();
    let mut told = String::new();
    let mut end = match last {
        Last::IsStopped(count) | Last::IsKilled(count) => Some(count),
        _ => None,
    };
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let Ok(event) = serde_json::from_str::<Value>(&line.unwrap()) else {
            // It was killed as it wrote.
            assert!(matches!(last, Last::IsKilled(_)));
            break;
        };
        told.push_str(match event["event"] == "stdout" {
            true => event["text"].as_str().unwrap(),
            false => "",
        });
        events.push(event);
        if end.is_some_and(|count| events.len() >= count || told.contains("\"end\"")) {
            end = None;
            finish(&mut child, last);
        }
    }
    let told = told.lines().map(|line| serde_json::from_str(line).unwrap());
    Life {
        status: wait(&mut child),
        events,
        told: told.collect(),
    }
}

fn finish(child: &mut Child, last: Last) {
    if let Last::IsKilled(_) = last {
        return child.kill().unwrap();
    }
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
    assert!(sent.unwrap().success());
}

impl Life {
    /// How each place ended, of those that the Flow waited for.
    fn ends(&self) -> BTreeMap<usize, &Value> {
        let ended = self.told.iter().filter(|line| line["place"].is_u64());
        ended.map(|line| (number(&line["place"]), line)).collect()
    }

    /// The number of each place.
    fn numbers(&self) -> Vec<u64> {
        let queued = |event: &&Value| event["event"] == "work-queued";
        let number = |event: &Value| event["number"].as_u64().unwrap();
        self.events.iter().filter(queued).map(number).collect()
    }
}

fn number(of: &Value) -> usize {
    usize::try_from(of.as_u64().unwrap()).unwrap()
}

fn moment(text: &Value) -> Timestamp {
    text.as_str().unwrap().parse().unwrap()
}

fn kind(failure: &Value) -> &str {
    failure["kind"].as_str().unwrap_or("output")
}

fn end_of(line: &Value) -> &str {
    line["failure"].as_str().unwrap_or("output")
}

fn has_answered(work: &Value) -> bool {
    !work["ended"].is_null() && ["output", "error", "exit"].contains(&kind(&work["failure"]))
}

fn attempts(work: &Value) -> &Vec<Value> {
    work["attempts"].as_array().unwrap()
}

/// How often what a place does was tried, in all lives.
fn counted(data: &Path, file: &str) -> usize {
    let text = std::fs::read_to_string(data.join(file)).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// No place ever goes back: pending, running, ended.
fn never_back(life: &Life) -> Result<(), TestCaseError> {
    let mut ranks = BTreeMap::new();
    let mut gone = BTreeSet::new();
    for line in &life.told {
        if line["place"].is_u64() {
            gone.insert(number(&line["place"]));
        }
        let statuses = line["status"].as_array().into_iter().flatten();
        // Those that were waited for are not among them.
        let held = (0..).filter(|place| !gone.contains(place));
        for (place, status) in held.zip(statuses) {
            let rank = match status.as_str().unwrap() {
                "pending" => 0,
                "running" => 1,
                _ => 2,
            };
            let before = ranks.insert(place, rank).unwrap_or(0);
            prop_assert!(before <= rank, "{:?}", life.told);
        }
    }
    Ok(())
}

/// Of each kind no more run at once than allowed.
fn never_too_many(run: &Value, parallel: usize) -> Result<(), TestCaseError> {
    let works = run["works"].as_array().unwrap();
    for kind in ["probe", "timed", "cached"] {
        let of_kind = works.iter().filter(|work| work["work"] == kind);
        let ended = of_kind
            .flat_map(attempts)
            .filter(|it| !it["ended"].is_null());
        let mut borders: Vec<_> = ended
            .flat_map(|it| [(moment(&it["started"]), 1), (moment(&it["ended"]), -1)])
            .collect();
        // An end comes before a start of the same moment.
        borders.sort();
        let mut running = 0_i32;
        for (_, change) in borders {
            running += change;
            prop_assert!(
                running <= i32::try_from(parallel).unwrap(),
                "{}: {}",
                kind,
                run
            );
        }
    }
    Ok(())
}

/// Of starts with the same input, no more is tried once one has an output.
fn once_cached(run: &Value, does: &[(u64, Does)]) -> Result<(), TestCaseError> {
    let works = run["works"].as_array().unwrap();
    let mut seen = Vec::new();
    for (_, same) in does.iter().filter(|(_, does)| does.work() == "cached") {
        if seen.contains(same) {
            continue;
        }
        seen.push(*same);
        let is_it = |work: &&Value| {
            let number = work["number"].as_u64().unwrap();
            does.contains(&(number, *same))
        };
        let mut all: Vec<_> = works
            .iter()
            .filter(is_it)
            .flat_map(|work| {
                // Not the Work's: what is cached may have its output of another start.
                let of = |it: &Value| {
                    let has_output = !it["ended"].is_null() && it["failure"].is_null();
                    (moment(&it["started"]), has_output)
                };
                attempts(work).iter().map(of).collect::<Vec<_>>()
            })
            .collect();
        all.sort();
        let first = all.iter().position(|(_, has_output)| *has_output);
        prop_assert!(
            first.is_none_or(|at| at + 1 == all.len()),
            "{:?}: {}",
            same,
            run
        );
        let ran = |work: &&Value| work["failure"].is_null() && work["answer"] == "ran";
        prop_assert!(
            works.iter().filter(is_it).filter(ran).count() <= 1,
            "{:?}: {}",
            same,
            run
        );
    }
    Ok(())
}

struct Bed {
    home: Home,
    data: PathBuf,
    retries: usize,
    parallel: usize,
}

impl Bed {
    /// The first life, as the Flow and the journal tell it, against the model.
    fn check_first(
        &self,
        life: &Life,
        places: &Places,
        last: Last,
    ) -> Result<Value, TestCaseError> {
        let expected = match last {
            Last::Waits | Last::Ends => 0,
            Last::Traps => 134,
            Last::IsStopped(_) => 143,
            Last::IsKilled(_) => 137,
        };
        prop_assert_eq!(life.status, expected);
        never_back(life)?;
        let is_killed = matches!(last, Last::IsKilled(_));
        let is_cut = is_killed || matches!(last, Last::IsStopped(_));
        let ends = life.ends();
        let run = last_run(&self.home);
        prop_assert_eq!(
            &run["state"],
            if is_killed { "interrupted" } else { "ended" }
        );
        let works = run["works"].as_array().unwrap();
        if last == Last::Waits {
            prop_assert_eq!(ends.len(), places.len());
        }
        if !is_cut {
            prop_assert_eq!(works.len(), places.len());
        }
        for work in works {
            let place = number(&work["number"]) - 1;
            let (does, stopped) = places[place];
            let (end, most) = does.end(self.retries, 0);
            let may_be_stopped = stopped || last != Last::Waits;
            let tried = attempts(work).len();
            // What is cached may have been tried by another start, or answered by it.
            let is_cached = does.work() == "cached";
            let most = if is_cached { self.retries + 1 } else { most };
            prop_assert!(tried <= most, "{}", work);
            for (at, attempt) in attempts(work).iter().enumerate() {
                prop_assert_eq!(&attempt["attempt"], &json!(at + 1));
            }
            if work["ended"].is_null() {
                prop_assert!(is_killed);
                continue;
            }
            let kept = kind(&work["failure"]);
            prop_assert!(
                does.may_end(kept, end) || (may_be_stopped && kept == "stopped"),
                "{}: {}",
                work,
                end
            );
            if kept == end && !is_cached && does != Does::Sleeps {
                prop_assert_eq!(tried, most, "{}", work);
            }
        }
        // What the Flow heard is what is written.
        for (place, line) in ends {
            let Some(work) = works.get(place).filter(|work| !work["ended"].is_null()) else {
                // A stop of what waits is told at once: it runs again whether it is written or not.
                prop_assert!(is_killed && end_of(line) == "stopped", "{}: {}", line, run);
                continue;
            };
            prop_assert_eq!(end_of(line), kind(&work["failure"]));
            self.check_output(line, places[place].0, place)?;
        }
        never_too_many(&run, self.parallel)?;
        let numbers = (1..).zip(places.iter().map(|(does, _)| *does));
        once_cached(&run, &numbers.collect::<Vec<_>>())?;
        Ok(run)
    }

    fn check_output(&self, line: &Value, does: Does, place: usize) -> Result<(), TestCaseError> {
        if end_of(line) == "output" {
            let output = match does {
                Does::Same(which) => json!(which),
                Does::TrapsOnce | Does::SameTrapsOnce => {
                    json!(counted(&self.data, &does.file(place)))
                }
                _ => json!(place),
            };
            prop_assert_eq!(&line["output"], &output);
        }
        Ok(())
    }

    /// Another life, in which all is waited for: each ends as the model says, and what was answered
    /// before is not tried again.
    fn check_again(&self, before: &Value, places: &Places) -> Result<(), TestCaseError> {
        let files = places.iter().enumerate();
        let files = files.map(|(place, (does, _))| does.file(place));
        let counts: Vec<usize> = files
            .clone()
            .map(|file| counted(&self.data, &file))
            .collect();
        let (script, order, again) = script_again(places);
        let input = self.home.path().join("again.json");
        std::fs::write(&input, script.to_string()).unwrap();
        let mut command = self.home.leyden();
        command.args(["runs", "resume", "last"]);
        let life = live(&mut command, &input, Last::Waits);
        prop_assert_eq!(life.status, 0);
        let (numbers, ends) = (life.numbers(), life.ends());
        prop_assert_eq!((numbers.len(), ends.len()), (order.len(), order.len()));
        let run = last_run(&self.home);
        prop_assert_eq!((&run["state"], &run["lives"]), (&json!("ended"), &json!(2)));
        let of = |run: &Value, number: u64| -> Option<Value> {
            let works = run["works"].as_array().unwrap();
            works.iter().find(|work| work["number"] == number).cloned()
        };
        let answered: Vec<Does> = numbers
            .iter()
            .zip(&again)
            .filter(|(number, _)| {
                let work = of(before, **number);
                work.is_some_and(|work| has_answered(&work) && work["failure"].is_null())
            })
            .map(|(_, (does, _))| *does)
            .collect();
        for (at, line) in ends {
            let (place, (does, _)) = (order[at], again[at]);
            let was = of(before, numbers[at]);
            let is = of(&run, numbers[at]).unwrap();
            prop_assert_eq!(end_of(line), kind(&is["failure"]));
            prop_assert!(!is["ended"].is_null());
            self.check_output(line, does, place)?;
            let tried = attempts(&is).iter().filter(|it| it["life"] == 2).count();
            if let Some(was) = was.filter(has_answered) {
                prop_assert_eq!((kind(&was["failure"]), 0), (kind(&is["failure"]), tried));
                continue;
            }
            if answered.contains(&does) && does.work() == "cached" {
                prop_assert_eq!((end_of(line), tried), ("output", 0), "{}", run);
                continue;
            }
            let (end, most) = does.end(self.retries, counts[place]);
            prop_assert!(does.may_end(end_of(line), end), "{}", is);
            let is_open = does == Does::Sleeps || does.work() == "cached";
            prop_assert!(tried == most || is_open, "{}", is);
        }
        for (place, file) in files.enumerate() {
            let does = places[place].0;
            let number = numbers[order.iter().position(|at| *at == place).unwrap()];
            let is_answered = match does.work() {
                "cached" => answered.contains(&does),
                _ => of(before, number).is_some_and(|work| has_answered(&work)),
            };
            if is_answered {
                prop_assert_eq!(counted(&self.data, &file), counts[place], "{}", run);
            }
        }
        never_too_many(&run, self.parallel)?;
        let does = again.iter().map(|(does, _)| *does);
        once_cached(&run, &numbers.into_iter().zip(does).collect::<Vec<_>>())
    }
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
        let home = Home::with_my_secret();
        let data = home.path().join("data-for-works");
        std::fs::create_dir(&data).unwrap();
        let both = format!("parallel = {parallel}\nretries = {retries}\n");
        let of = "component = \"work-probe.wasm\"";
        let app = App::scripted(
            &home,
            &format!(
                "{both}[works.timed]\n{of}\ntimeout = \"100ms\"\n{both}\
                 [works.cached]\n{of}\ncache = true\n{both}"
            ),
        );
        let (text, places) = script(&steps, last);
        let input = home.path().join("script.json");
        std::fs::write(&input, text.to_string()).unwrap();
        let mut command = home.leyden();
        command.args(["run", "app", "--output", "json"]).arg(app.path());
        for work in ["probe", "timed", "cached"] {
            command.arg("--dir").arg(format!("{work}:{}::/d", data.display()));
        }
        let life = live(&mut command, &input, last);
        let bed = Bed { home, data, retries, parallel };
        let run = bed.check_first(&life, &places, last)?;
        if life.status != 0 {
            bed.check_again(&run, &places)?;
        }
    }
}
