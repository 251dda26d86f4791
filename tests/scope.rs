//! Which component sees which secret: each its own, and none another's.

use serde_json::{Value, json};

use crate::support::{App, Home, lines};

fn app(home: &Home) -> App {
    App::scripted(
        home,
        "secrets = [\"HF_TOKEN\"]\nenv = { LEVEL = \"info\" }\n\
         [works.all]\ncomponent = \"work-probe.wasm\"\n\
         [works.none]\ncomponent = \"work-probe.wasm\"\nsecrets = []\n\
         [secrets]\nHF_TOKEN = \"hf\"\nMY_APP_SECRET = \"my-secret\"\n\
         [env]\nFOO = \"bar\"\n",
    )
}

const NAMES: [&str; 5] = ["HF_TOKEN", "MY_APP_SECRET", "EXTRA", "FOO", "NOT_THERE"];

#[test]
fn g1_each_works_environment_is_exactly_what_is_in_its_scope() {
    let home = Home::with_my_secret();
    home.create_secret("hf", "hf-value");
    home.create_secret("extra", "extra-value");
    let environment = |work: &str| json!({ "start": { "work": work, "input": "environment" } });
    let script = json!([
        environment("probe"),
        environment("all"),
        environment("none"),
        { "wait": "all" },
    ]);
    let options = [
        "--secret",
        "HF_TOKEN=hf",
        "--secret",
        "MY_APP_SECRET=my-secret",
        "--secret",
        "none:EXTRA=extra",
        "--env",
        "all:LEVEL=debug",
    ];
    let told = lines(&app(&home).run(&home, &options, &script).succeeded());
    let outputs: Vec<_> = told.iter().map(|line| &line["output"]).collect();
    assert_eq!(
        outputs[0],
        &json!({ "FOO": "bar", "HF_TOKEN": "hf-value", "LEVEL": "info" })
    );
    assert_eq!(
        outputs[1],
        &json!({
            "FOO": "bar", "HF_TOKEN": "hf-value", "LEVEL": "debug",
            "MY_APP_SECRET": "some-value",
        })
    );
    assert_eq!(outputs[2], &json!({ "EXTRA": "extra-value", "FOO": "bar" }));
    let table = home.run(["audit", "list"]).succeeded().stdout;
    assert!(table.contains("probe/none sha256:"), "{table}");
    // One record for each component and secret.
    let audit = home.run(["audit", "list", "--output", "json"]).succeeded();
    let records = lines(&audit);
    let mut released: Vec<_> = records
        .iter()
        .filter(|record| record["event"] == "release")
        .map(|record| [&record["component"], &record["env"]].map(|v| v.as_str().unwrap()))
        .collect();
    released.sort_unstable();
    assert_eq!(
        released,
        [
            ["all", "HF_TOKEN"],
            ["all", "MY_APP_SECRET"],
            ["flow", "HF_TOKEN"],
            ["flow", "MY_APP_SECRET"],
            ["none", "EXTRA"],
            ["probe", "HF_TOKEN"],
        ]
    );
}

#[test]
fn g2_the_interface_for_bytes_gives_a_component_its_own_secrets_and_no_other() {
    let home = Home::with_my_secret();
    home.create_secret("hf", b"\x00\xffbytes".as_slice());
    home.create_secret("extra", "extra-value");
    let reveal =
        |work: &str, name: &str| json!({ "start": { "work": work, "input": { "reveal": name } } });
    let mut script: Vec<_> = ["probe", "all", "none"]
        .iter()
        .map(|work| json!({ "start": { "work": work, "input": { "bound": NAMES } } }))
        .collect();
    script.push(reveal("probe", "HF_TOKEN"));
    let unbound = ["MY_APP_SECRET", "EXTRA", "FOO", "NOT_THERE", "", "PATH"];
    script.extend(unbound.iter().map(|name| reveal("probe", name)));
    script.push(json!({ "wait": "all" }));
    script.extend(["HF_TOKEN", "EXTRA", "FOO"].map(|name| json!({ "reveal": name })));
    let options = [
        "--secret",
        "HF_TOKEN=hf:base64",
        "--secret",
        "MY_APP_SECRET=my-secret",
        "--secret",
        "none:EXTRA=extra",
    ];
    let told = lines(
        &app(&home)
            .run(&home, &options, &Value::from(script))
            .succeeded(),
    );
    assert_eq!(told[0]["output"], json!(["HF_TOKEN"]));
    assert_eq!(told[1]["output"], json!(["HF_TOKEN", "MY_APP_SECRET"]));
    assert_eq!(told[2]["output"], json!(["EXTRA"]));
    assert_eq!(
        told[3]["output"],
        json!({ "bytes": b"\x00\xffbytes", "version": 1 })
    );
    // What another component has, what there is not, and a plain entry are all the same.
    let refused: Vec<_> = (4..10)
        .map(|at| {
            let text = told[at]["detail"].as_str().unwrap();
            let name = unbound[at - 4];
            text.replace(&format!(" {name} "), " NAME ")
                .replace(&format!("{name}="), "NAME=")
        })
        .collect();
    assert!(told[4..10].iter().all(|line| line["failure"] == "error"));
    assert!(
        refused.iter().take(4).all(|text| *text == refused[0]),
        "{refused:?}"
    );
    assert_eq!(
        told[10]["reveal"],
        json!({ "name": "HF_TOKEN", "bytes": b"\x00\xffbytes", "version": 1 })
    );
    assert_eq!(told[11]["reveal"]["error"], "unbound");
    assert_eq!(told[12]["reveal"]["error"], "unbound");
}

#[test]
fn g3_a_works_refused_secret_refuses_the_whole_before_the_flow_runs() {
    let home = Home::with_my_secret();
    let script = json!([{ "print": "the flow ran" }]);
    let ran = app(&home)
        .run(
            &home,
            &[
                "--secret",
                "HF_TOKEN=my-secret",
                "--secret",
                "MY_APP_SECRET=my-secret",
                "--secret",
                "none:EXTRA=nothing",
            ],
            &script,
        )
        .ended_with(77)
        .says(&["`none`", "EXTRA=nothing"]);
    assert_eq!(ran.stdout, "");
}

#[test]
fn g9_folders_and_hosts_are_the_named_works_alone() {
    let home = Home::new();
    let data = home.path().join("data-for-works");
    std::fs::create_dir(&data).unwrap();
    let app = App::scripted(&home, "[works.other]\ncomponent = \"work-probe.wasm\"\n");
    let attempt = |work: &str| json!({ "start": { "work": work, "input": { "attempt": "/d/n" } } });
    let script = json!([attempt("probe"), attempt("other"), { "wait": "all" }]);
    let dir = format!("other:{}::/d", data.display());
    let told = lines(&app.run(&home, &["--dir", &dir], &script).succeeded());
    assert_eq!(told[0]["failure"], "error");
    assert_eq!(told[1]["output"], 1);
    // The Flow's own folder is no Work's.
    let dir = format!("{}::/d", data.display());
    let told = lines(&app.run(&home, &["--dir", &dir], &script).succeeded());
    assert!(
        told.iter().all(|line| line["failure"] == "error"),
        "{told:?}"
    );
}

#[test]
fn g2_a_flow_cannot_try_values_as_names_of_works() {
    let home = Home::with_my_secret();
    let unknown = |work: &str| json!({ "start": { "work": work, "text": "" } });
    let script = json!([
        unknown("some-value"),
        unknown("none-value"),
        { "wait": "all" },
    ]);
    // A secret that the Flow does not have, but a Work.
    let app = app(&home);
    let options = ["--secret", "none:EXTRA=my-secret"];
    let manifest = app.path().join("leyden.toml");
    let asked = std::fs::read_to_string(&manifest).unwrap();
    let asked = asked.split("[secrets]").next().unwrap();
    std::fs::write(&manifest, asked.replace("secrets = [\"HF_TOKEN\"]\n", "")).unwrap();
    let ran = app.run(&home, &options, &script).succeeded();
    let told = lines(&ran);
    assert_eq!(told[0]["failure"], "refused");
    assert_eq!(told[0]["detail"], told[1]["detail"], "{told:#?}");
    assert!(!ran.stderr.contains("some-value"), "{ran:#?}");
}
