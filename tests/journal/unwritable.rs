//! Journals that cannot be written: the run goes on, and says so.

use serde_json::json;

use crate::support::{App, Home, lines};

use super::until;

#[test]
fn a_run_goes_on_without_a_journal_where_none_can_be_written() {
    let home = Home::new();
    let app = App::scripted(&home, "");
    let script = json!([
        { "start": { "work": "probe", "input": { "return": 1 } } },
        { "wait": "all" },
    ]);
    // A file where the folder should be.
    std::fs::create_dir_all(home.path().join("state/leyden")).unwrap();
    std::fs::write(home.path().join("state/leyden/runs"), "").unwrap();
    let ran = app
        .run(&home, &[], &script)
        .succeeded()
        .says(&["no journal is kept"]);
    assert_eq!(lines(&ran)[0]["output"], 1);
}

#[test]
fn a_journal_is_kept_behind_symbolic_links() {
    let home = Home::new();
    let app = App::scripted(&home, "");
    let (state, elsewhere) = (home.path().join("state"), home.path().join("elsewhere"));
    std::fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &state).unwrap();
    let script = json!([
        { "start": { "work": "probe", "input": { "return": 1 } } },
        { "wait": "all" },
    ]);
    app.run(&home, &[], &script)
        .succeeded()
        .never_shows("cannot be written");
    let shown = home.run(["runs", "show", "last"]).succeeded().stdout;
    assert!(shown.contains("probe#1"), "{shown}");
}

#[test]
fn a_journal_that_is_removed_while_it_is_written_is_told() {
    let home = Home::new();
    let app = App::scripted(&home, "");
    let many = json!({ "start": { "work": "probe", "input": { "return": 1 }, "times": 5 } });
    let script = json!([many, { "wait": "all" }, { "sleep": 2000 }, many, { "wait": "all" }]);
    let child = app.begin(&home, &[], &script);
    until(|| {
        let run = home.run(["runs", "show", "last", "--output", "json"]);
        run.stdout.matches("\"answer\": \"ran\"").count() == 5
    });
    std::fs::remove_dir_all(home.path().join("state/leyden/runs")).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(said.matches("its folder was removed").count(), 1, "{said}");
}

#[test]
fn a_limit_on_the_size_of_files_is_no_end_of_the_run() {
    let home = Home::new();
    let app = App::scripted(&home, "");
    let script = json!([
        { "start": { "work": "probe", "input": { "return": 1 }, "times": 2000 } },
        "count",
    ]);
    // What is compiled is larger than the limit.
    app.run(&home, &[], &json!([])).succeeded();
    let mut leyden = home.limited(200);
    leyden
        .args(["run", "app"])
        .arg(app.path())
        .args(["--", &script.to_string()]);
    let ran = crate::support::run(&mut leyden, b"").succeeded();
    let ran = ran.says(&["the journal of this run cannot be written any more"]);
    assert_eq!(lines(&ran)[0]["count"], json!({ "output": 2000 }));
}
