//! Bounds: of inputs, outputs, handles and memory.

use serde_json::{Value, json};

use crate::support::{App, Home, lines};

#[test]
fn a_hundred_thousand_starts_and_large_inputs_do_what_one_expects() {
    let home = Home::new();
    let app = App::scripted(&home, "[works.echo]\ncomponent = \"work-echo.wasm\"\n");
    let times = 100_000;
    let script = json!([
        { "start": { "work": "none", "text": "", "times": times } },
        "count",
        { "start": { "work": "echo", "bytes": 64 << 20 } },
        { "start": { "work": "echo", "bytes": (64 << 20) + 1 } },
        { "start": { "work": "probe", "input": { "return-bytes": (64 << 20) + 1 } } },
        "count",
        { "start": { "work": "probe", "input": { "error": "x".repeat(70_000) } } },
        { "wait": "all" },
    ]);
    let told = lines(&app.run(&home, &[], &script).succeeded());
    assert_eq!(told[0]["count"], json!({ "refused": times }));
    assert_eq!(told[1]["count"], json!({ "output": 1, "refused": 2 }));
    let error = told[2]["detail"].as_str().unwrap();
    assert_eq!(error.trim_end_matches('…').len(), 64 << 10);
}

#[test]
fn a_flow_that_lets_outputs_go_has_room_for_more_also_where_they_are_cached() {
    let home = Home::new();
    let app = App::scripted(&home, "cache = true\n");
    // More than 1 GiB in all.
    let one = |number: usize| {
        json!([
            { "start": { "work": "probe", "input": { "return-bytes": (60 << 20) + number } } },
            "count",
        ])
    };
    let script: Vec<_> = (0..19)
        .flat_map(|number| one(number).as_array().unwrap().clone())
        .collect();
    let told = lines(&app.run(&home, &[], &Value::from(script)).succeeded());
    for line in told {
        assert_eq!(line["count"], json!({ "output": 1 }));
    }
}

#[test]
fn errors_that_a_flow_holds_take_room_as_outputs_do() {
    let home = Home::new();
    let app = App::scripted(&home, "cache = true\nparallel = 1\n");
    let error = json!({ "start": { "work": "probe", "input": { "error": "x".repeat(64 << 10) } } });
    let errors = json!({ "repeat": { "times": 80, "steps": [error] } });
    let script = json!([
        // 60 MiB each with its quotes, and one and the same: all but 4 MiB of the room.
        { "start": { "work": "probe", "input": { "return-bytes": (60 << 20) - 2 }, "times": 17 } },
        errors,
        { "wait": [96] },
        { "drop": (0..17).collect::<Vec<_>>() },
        "count",
    ]);
    let told = lines(&app.run(&home, &[], &script).succeeded());
    assert_eq!(told[0]["failure"], "refused");
    let why = "its error of 65536 bytes finds no room";
    assert!(told[0]["detail"].as_str().unwrap().starts_with(why));
    assert_eq!(told[1]["count"], json!({ "error": 64, "refused": 15 }));
}

#[test]
fn a_flow_that_holds_too_many_handles_is_told_so() {
    let home = Home::new();
    let app = App::scripted(&home, "");
    let script = json!([{ "start": { "work": "none", "text": "", "times": 140_000 } }]);
    app.run(&home, &[], &script).ended_with(134).says(&[
        "it holds 400000 handles (of started Works, pollables,",
        "drop what it needs no more",
    ]);
}

#[test]
fn a_program_that_holds_too_many_secrets_is_told_so_too() {
    let home = Home::with_my_secret();
    let component = r#"(component
        (import "leyden:app/secrets@0.1.0" (instance $secrets
            (type $e (enum "unbound")) (export "error" (type $error (eq $e)))
            (export "secret" (type $secret (sub resource)))
            (export "get" (func (param "name" string)
                (result (result (own $secret) (error $error)))))))
        (alias export $secrets "get" (func $get))
        (core module $libc
            (memory (export "memory") 1) (data (i32.const 0) "TOKEN")
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
        (core instance $libc (instantiate $libc))
        (core func $get (canon lower (func $get)
            (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
        (core module $main
            (import "" "get" (func $get (param i32 i32 i32)))
            (func (export "run") (result i32)
                (loop $again (call $get (i32.const 0) (i32.const 5) (i32.const 16)) (br $again))
                unreachable))
        (core instance $main (instantiate $main
            (with "" (instance (export "get" (func $get))))))
        (func $run (result (result)) (canon lift (core func $main "run")))
        (instance $run (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $run)))"#;
    let file = home.path().join("hoards.wat");
    std::fs::write(&file, component).unwrap();
    let ran = home.run_app(&file, &["--secret", "TOKEN=my-secret"]);
    ran.ended_with(134)
        .says(&["it holds 100000 handles", "drop what it needs no more"]);
}

#[test]
fn a_manifest_that_asks_for_too_much_memory_is_told() {
    let home = Home::new();
    let app = App::scripted(&home, "memory = \"3GiB\"\n");
    let told = "the Work `probe` asks for 3.0 GiB and gets 1.0 GiB";
    app.run(&home, &[], &json!([])).succeeded().says(&[told]);
    let inspected = home.run(["inspect", &app.path().display().to_string()]);
    assert!(inspected.succeeded().stdout.contains(told));
    let allowed = app.run(&home, &["--memory", "4GiB"], &json!([]));
    allowed.succeeded().never_shows("asks for");
    // What the operator gives is for each component.
    let script = json!([{ "start": { "work": "probe", "input": "allocate" } }, { "wait": "all" }]);
    let ran = app.run(&home, &["--memory", "16MiB"], &script);
    ran.says(&["its limit of 16.0 MiB"]);
}
