//! The Flow, in Rust: has a Work in Python describe three series of numbers.

use leyden_guest::{WorkError, work};
use serde::Deserialize;

#[derive(Deserialize)]
struct Summary {
    mean: f64,
    median: f64,
    stdev: f64,
}

fn main() -> Result<(), WorkError> {
    let series = [
        &[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0][..],
        &[1.0, 2.0],
        &[],
    ];
    for summary in work("summary")?.map::<Summary, _>(series) {
        match summary {
            Ok(Summary {
                mean,
                median,
                stdev,
            }) => {
                println!("mean {mean}, median {median}, standard deviation {stdev}");
            }
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}
