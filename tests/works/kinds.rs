//! What can be a Flow or a Work, and what cannot.

use serde_json::json;

use crate::support::{App, Home, last_run, lines};

use super::LIMITS;

#[test]
fn programs_and_core_modules_are_works_too() {
    let home = Home::new();
    let app = App::scripted(&home, LIMITS);
    let text = "one line\nand another";
    let script = json!([
        { "start": { "work": "cat", "text": text } },
        { "start": { "work": "cat1", "text": text } },
        { "wait": "all" },
    ]);
    let told = lines(&app.run(&home, &[], &script).succeeded());
    assert_eq!([&told[0]["output"], &told[1]["output"]], [text, text]);
}

#[test]
fn a_program_that_writes_for_ever_is_ended_by_its_output() {
    let home = Home::new();
    let app = App::scripted(
        &home,
        "[works.flood]\ncomponent = \"flood.wat\"\ntimeout = \"5min\"\nretries = 1\n",
    );
    let flood = "(module
        (import \"wasi_snapshot_preview1\" \"fd_write\"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export \"memory\") 2)
        (func (export \"_start\")
            (i32.store (i32.const 4) (i32.const 65536))
            (loop $more
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                (br $more))))";
    std::fs::write(app.path().join("flood.wat"), flood).unwrap();
    let script = json!([{ "start": { "work": "flood", "text": "" } }, { "wait": "all" }]);
    let told = lines(&app.run(&home, &[], &script).succeeded());
    assert_eq!(told[0]["failure"], "refused", "{told:?}");
    assert!(told[0].to_string().contains("64 MiB"), "{told:?}");
}

#[test]
fn a_flow_of_wasi_0_3_awaits_its_works() {
    let home = Home::new();
    let works = format!("[works.probe]\ncomponent = \"work-probe.wasm\"\n{LIMITS}");
    let app = App::new(&home, "flow-p3", &works);
    let ran = home
        .run_app(
            app.path(),
            &[
                "--",
                "probe",
                "[{\"sleep\":300},{\"return\":\"slow\"}]",
                "probe",
                "{\"return\":\"quick\"}",
                "cat",
                "text",
                "probe",
                "stop",
                "probe",
                "\"trap\"",
            ],
        )
        .succeeded();
    let told = lines(&ran);
    let of = |place: usize| told.iter().find(|line| line["place"] == place).unwrap();
    assert_eq!(of(0)["output"], "\"slow\"");
    assert_eq!(of(1)["output"], "\"quick\"");
    assert_eq!(of(2)["output"], "text");
    assert!(of(3)["failure"].to_string().contains("stopped"), "{told:?}");
    assert!(of(4)["failure"].to_string().contains("trap"), "{told:?}");
    let at = |place: usize| told.iter().position(|line| line["place"] == place);
    assert!(at(1) < at(0), "the quick one was told first: {told:?}");
}

#[test]
fn a_work_cannot_start_works_and_is_no_app() {
    let home = Home::new();
    // As a Work, a Flow is a program like another: it has no Works.
    let app = App::scripted(&home, "[works.inner]\ncomponent = \"flow-probe.wasm\"\n");
    let inner = json!(["names", { "start": { "work": "probe", "text": "" } }, { "wait": "all" }]);
    let script = json!([
        { "start": { "work": "inner", "text": inner.to_string() } },
        { "wait": "all" },
    ]);
    let told = lines(&app.run(&home, &[], &script).succeeded());
    let inner = told[0]["output"].as_str().unwrap();
    assert!(inner.contains("{\"names\":[]}"), "{inner}");
    assert!(inner.contains("refused"), "{inner}");
    home.run_app(&app.path().join("work-probe.wasm"), &[])
        .ended_with(126)
        .says(&["it is a Work", "leyden.toml"]);
    // What is neither is refused before anything runs.
    std::fs::write(app.path().join("work-probe.wasm"), b"(component)").unwrap();
    app.run(&home, &[], &json!([{ "print": "ran" }]))
        .ended_with(126)
        .says(&["leyden:app/work"]);
}

#[test]
fn what_can_never_be_instantiated_cannot_be_run_alone_or_as_a_work() {
    let home = Home::new();
    let app = App::scripted(&home, "[works.big]\ncomponent = \"big.wat\"\n");
    let big = app.path().join("big.wat");
    let module = "(module (table 100000000 funcref) (memory (export \"memory\") 1)
                  (func (export \"_start\")))";
    std::fs::write(&big, module).unwrap();
    home.run_app(&big, &[])
        .ended_with(126)
        .says(&["it cannot be run", "table"]);
    // The second finds it compiled.
    for _ in 0..2 {
        app.run(&home, &[], &json!([{ "print": "ran" }]))
            .ended_with(126)
            .says(&["it cannot be run", "table"]);
    }
}

#[test]
fn tables_that_are_too_large_only_together_are_told_as_one_that_is() {
    let home = Home::new();
    let app = App::scripted(
        &home,
        "[works.big]\ncomponent = \"big.wat\"\nretries = 3\n\
         [works.grows]\ncomponent = \"grows.wat\"\n",
    );
    let (big, grows) = (app.path().join("big.wat"), app.path().join("grows.wat"));
    // Each of them is small enough for any.
    let tables = "(table 99999 funcref)".repeat(11);
    let module =
        format!("(module {tables} (memory (export \"memory\") 1) (func (export \"_start\")))");
    std::fs::write(&big, module).unwrap();
    // One that asks for more as it runs hears of it, and ends as it likes.
    let module = "(module (table $t 0 funcref) (memory (export \"memory\") 1)
                  (func (export \"_start\")
                    (if (i32.ne (i32.const -1)
                          (table.grow $t (ref.null func) (i32.const 1000001)))
                      (then unreachable))))";
    std::fs::write(&grows, module).unwrap();
    let told = "it cannot be run: its tables have more elements than one instance may have";
    home.run_app(&big, &[]).ended_with(126).says(&[told]);
    home.run_app(&grows, &[]).succeeded();
    let start = |work: &str| json!({ "start": { "work": work, "text": "" } });
    let script = json!([start("big"), start("grows"), { "wait": "all" }]);
    let told = lines(&app.run(&home, &[], &script).succeeded());
    assert_eq!(told[0]["failure"], "refused");
    assert!(told[0]["detail"].as_str().unwrap().contains("its tables"));
    assert_eq!(told[1]["output"], "");
    let run = last_run(&home);
    assert_eq!(run["works"][0]["attempts"].as_array().unwrap().len(), 1);
}
