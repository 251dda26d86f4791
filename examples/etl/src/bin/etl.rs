//! The Flow: fetches orders, loads them and asks for a report, and says what became of each.

use leyden_guest::{WorkError, secret_bytes, work};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, PartialEq, Deserialize)]
struct Receipt {
    orders: usize,
    cents: u64,
    signature: String,
}

fn main() -> Result<(), WorkError> {
    if let Err(error) = secret_bytes("WAREHOUSE_KEY") {
        println!("flow: {error}");
    }
    for line in flow()? {
        println!("{line}");
    }
    Ok(())
}

/// A line for each Work. A Work that fails is told of, and does not end the others.
fn flow() -> Result<Vec<String>, WorkError> {
    // All run at once; `load` has to wait for what it loads.
    let orders = work("flaky")?.start_bytes([]);
    let report = work("slow")?.start_bytes([]);
    let load = work("load")?;
    let mut lines = Vec::new();
    match orders.wait::<Vec<Value>>() {
        Ok(orders) => {
            lines.push(format!("flaky: fetched {} orders", orders.len()));
            match load.start(&orders)?.wait::<Receipt>() {
                Ok(receipt) => lines.push(format!(
                    "load: {} orders over {} cents, signed {}",
                    receipt.orders, receipt.cents, receipt.signature
                )),
                Err(error) => lines.push(error.to_string()),
            }
        }
        Err(error) => lines.push(error.to_string()),
    }
    match report.wait_bytes() {
        Ok(report) => lines.push(format!("slow: a report of {} bytes", report.len())),
        Err(error) => lines.push(error.to_string()),
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use leyden_guest::{Failure, testing};

    use super::*;

    #[test]
    fn it_survives_each_work() {
        testing::register_failure("slow", Failure::TimedOut(Duration::from_secs(1)));
        testing::register_failure("flaky", Failure::Trap("broke off".into()));
        testing::register("load", |_: Vec<Value>| {
            Err::<Value, _>("the warehouse is full")
        });
        let slow = "slow ran longer than its time limit of 1s";
        assert_eq!(flow().unwrap(), ["flaky trapped: broke off", slow]);

        testing::register_bytes("flaky", |_| Ok::<_, String>("[{}, {}]"));
        let lines = flow().unwrap();
        let full = "load failed: the warehouse is full";
        assert_eq!(lines, ["flaky: fetched 2 orders", full, slow]);
    }
}
