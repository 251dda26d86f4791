//! A Flow of WASI 0.3. Its arguments come in pairs: a Work and its input. Starts all, awaits all at
//! once and prints a line for each as it ends, as JSON; then how all stand. A Work whose input is
//! `stop` is stopped at once.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use wasip3::cli::{environment, stdout};

use bindings::leyden::app::types::Failure;
use bindings::leyden::app::works_async as works;

mod bindings {
    wit_bindgen::generate!({
        path: "../../../guest-sdk/wit",
        world: "leyden:app/flow-async",
        generate_all,
    });
}

struct Flow;

wasip3::cli::command::export!(Flow);

impl wasip3::exports::cli::run::Guest for Flow {
    async fn run() -> Result<(), ()> {
        let (mut out, reader) = wasip3::wit_stream::new();
        let written = stdout::write_via_stream(reader);
        let arguments = environment::get_arguments();
        let mut started = Vec::new();
        for pair in arguments.get(1..).unwrap_or_default().chunks_exact(2) {
            if let [work, input] = pair {
                started.push(works::start(work.clone(), input.clone().into_bytes()).await);
                if input == "stop"
                    && let Some(last) = started.last()
                {
                    last.stop();
                }
            }
        }
        let mut ends: FuturesUnordered<_> = started
            .iter()
            .enumerate()
            .map(|(place, started)| async move { (place, started.output().await) })
            .collect();
        while let Some((place, end)) = ends.next().await {
            let line = match end {
                Ok(output) => {
                    let output = String::from_utf8_lossy(&output).into_owned();
                    json!({ "place": place, "output": output })
                }
                Err(failure) => json!({ "place": place, "failure": failed(failure) }),
            };
            out.write_all(format!("{line}\n").into_bytes()).await;
        }
        drop(ends);
        let all: Vec<String> = started
            .iter()
            .map(|started| format!("{:?}", started.status()))
            .collect();
        let line = json!({ "names": works::names(), "status": all });
        out.write_all(format!("{line}\n").into_bytes()).await;
        drop(out);
        written.await.map_err(drop)
    }
}

fn failed(failure: Failure) -> Value {
    match failure {
        Failure::Error(text) => json!({ "error": text }),
        Failure::Trap(reason) => json!({ "trap": reason }),
        Failure::Exit(status) => json!({ "exit": status }),
        Failure::TimedOut(limit) => json!({ "timed-out": limit }),
        Failure::OutOfMemory(limit) => json!({ "out-of-memory": limit }),
        Failure::Stopped => json!("stopped"),
        Failure::Refused(reason) => json!({ "refused": reason }),
    }
}
