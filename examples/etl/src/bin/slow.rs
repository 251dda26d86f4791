//! The Work `slow`, an ordinary program: waits for a report that does not come.

use std::thread;
use std::time::Duration;

fn main() {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}
