//! The journal: what it keeps of runs, and what can be done with them.

mod damaged;
mod killed;
mod listed;
mod log;
mod resume;
mod stopped;
mod unwritable;

use std::path::Path;
use std::process::Child;
use std::time::Duration;

use crate::support::{App, Home, last_run};

/// Waits until something is so; it comes to be, however slow the machine.
fn until(what: impl Fn() -> bool) {
    while !what() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// A home with a store, an app whose Work leaves a file for each of its runs, and that folder.
fn counting_app() -> (Home, App, std::path::PathBuf) {
    let home = Home::with_my_secret();
    let data = home.path().join("data-for-works");
    std::fs::create_dir(&data).unwrap();
    let app = App::scripted(&home, "parallel = 4\n");
    (home, app, data)
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-s", name, &pid])
        .status();
    assert!(sent.unwrap().success());
}

/// The journal of the newest run, to be changed.
fn journal_of_last_run(home: &Home) -> rusqlite::Connection {
    let id = last_run(home)["id"].as_str().unwrap().to_owned();
    let folder = home.path().join("state/leyden/runs").join(id);
    rusqlite::Connection::open(folder.join("journal.db")).unwrap()
}
