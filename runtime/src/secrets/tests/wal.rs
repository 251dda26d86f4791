//! The database's log: it stays short, however many processes write one thing each.

use super::bed::{Bed, name, value};

#[test]
fn the_log_stays_short_where_every_process_opens_the_store_anew() {
    let bed = Bed::new();
    let text = "x".repeat(300 << 10);
    bed.make().create_secret(&name("s"), value(&text)).unwrap();
    let log = bed.path().with_extension("db-wal");
    let mut longest = 0;
    for _ in 0..40 {
        let store = bed.open().unwrap();
        store.set_secret(&name("s"), value(&text)).unwrap();
        drop(store);
        longest = longest.max(std::fs::metadata(&log).unwrap().len());
    }
    // 12 MiB were written through it.
    assert!(longest < 6 << 20, "{longest}");
}
