//! Keys of runs: what they seal opens in its own place alone.

use super::bed::Bed;

#[test]
fn a_payload_opens_in_its_place_alone() {
    let bed = Bed::new();
    let store = bed.make();
    let (key, sealed) = store.new_run_key("one").unwrap();
    let payload = key.seal("output", 7, b"bytes").unwrap();
    let again = store.open_run_key("one", &sealed).unwrap();
    assert_eq!(again.open("output", 7, &payload).unwrap(), b"bytes");
    assert!(again.open("output", 8, &payload).is_none());
    assert!(again.open("input", 7, &payload).is_none());
    assert_eq!(key.mac("input", b"x"), again.mac("input", b"x"));
    assert_ne!(key.mac("input", b"x"), key.mac("input", b"y"));
    assert!(store.open_run_key("two", &sealed).is_none());
    let other = Bed::new();
    assert!(other.make().open_run_key("one", &sealed).is_none());
    let (stranger, _) = store.new_run_key("one").unwrap();
    assert!(stranger.open("output", 7, &payload).is_none());
}
