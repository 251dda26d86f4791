//! G10: after a bound app is dropped, no copy of a secret remains in the host's memory.
//!
//! These tests embed the library as a service does, and then search all of their own process.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use leyden::sandbox::World;
use leyden::secrets::StoreOptions;
use leyden::{App, Ending, Host, Input, Key, SecretValue};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::support::guest;

/// Stands before and after what is searched for: an allocator overwrites the ends of memory that
/// is freed, and would hide a copy that nobody wiped.
const PADDING: usize = 200;

/// A random value that never stands in memory as a whole on the test's own account: it is kept
/// as two halves whose XOR it is.
struct Needle([u8; 40], [u8; 40]);

impl Needle {
    fn new() -> Self {
        let mut value = [0; 40];
        let mut mask = [0; 40];
        getrandom::fill(&mut value).unwrap();
        getrandom::fill(&mut mask).unwrap();
        for (value, mask) in value.iter_mut().zip(mask) {
            *value = (b'A' + *value % 26) ^ mask;
        }
        Self(value, mask)
    }

    fn byte(&self, index: usize) -> u8 {
        self.0[index] ^ self.1[index]
    }

    fn secret(&self) -> SecretValue {
        let mut text = Zeroizing::new(String::with_capacity(self.0.len() + 2 * PADDING));
        text.extend(std::iter::repeat_n('p', PADDING));
        for index in 0..self.0.len() {
            text.push(char::from(self.byte(index)));
        }
        text.extend(std::iter::repeat_n('p', PADDING));
        SecretValue::from_text(text).unwrap()
    }

    fn is_at(&self, bytes: &[u8]) -> bool {
        bytes.len() >= self.0.len()
            && (0..self.0.len()).all(|index| bytes[index] == self.byte(index))
    }

    /// How often it stands in this process's memory.
    fn copies(&self) -> usize {
        let memory = File::open("/proc/self/mem").unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mut chunk = vec![0; 1 << 20];
        let own = chunk.as_ptr() as u64;
        let mut copies = 0;
        for (start, end) in maps.lines().filter_map(readable) {
            // The buffer that everything is copied through is no copy of the host's.
            if (start..end).contains(&own) && end - start < 4 << 20 {
                continue;
            }
            let mut at = start;
            while at < end {
                let want = usize::try_from(end - at).unwrap().min(chunk.len());
                let Ok(read) = memory.read_at(&mut chunk[..want], at) else {
                    break;
                };
                copies += memchr::memchr_iter(self.byte(0), &chunk[..read])
                    .filter(|found| self.is_at(&chunk[*found..read]))
                    .count();
                if read < want || read < self.0.len() {
                    break;
                }
                // Overlap, so that a copy across two chunks is found.
                let step = if at + read as u64 == end {
                    read
                } else {
                    read - self.0.len()
                };
                at += step as u64;
            }
        }
        chunk.fill(0);
        copies
    }
}

fn readable(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let permissions = fields.next()?;
    let special = line.contains("[vvar") || line.contains("[vsyscall]");
    if !permissions.starts_with('r') || special {
        return None;
    }
    Some((
        u64::from_str_radix(start, 16).ok()?,
        u64::from_str_radix(end, 16).ok()?,
    ))
}

/// A component that reads its environment and then does what `then` says; its `realloc` does
/// what `realloc` says before it answers.
fn component(version: &str, then: &str, realloc: &str) -> String {
    format!(
        r#"(component
            (import "wasi:cli/environment@{version}" (instance $environment
                (export "get-environment"
                    (func (result (list (tuple string string)))))))
            (core module $memory
                (memory (export "memory") 8)
                (global $next (mut i32) (i32.const 1024))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    {realloc}
                    (local.set $at (i32.and
                        (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                    (global.set $next (i32.add (local.get $at) (local.get 3)))
                    (local.get $at)))
            (core instance $memory (instantiate $memory))
            (alias core export $memory "memory" (core memory $bytes))
            (alias core export $memory "realloc" (core func $realloc))
            (core func $get (canon lower (func $environment "get-environment")
                (memory $bytes) (realloc $realloc)))
            (core module $main
                (import "host" "get" (func $get (param i32)))
                (func (export "run") (result i32)
                    (call $get (i32.const 16))
                    (call $get (i32.const 32))
                    {then}
                    (i32.const 0)))
            (core instance $main (instantiate $main
                (with "host" (instance (export "get" (func $get))))))
            (func $run (result (result)) (canon lift (core func $main "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $exported)))"#
    )
}

/// A WASI 0.1 module that reads its environment and then does what `then` says.
fn module(then: &str) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "environ_get"
                (func $get (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_sizes_get"
                (func $sizes (param i32 i32) (result i32)))
            (memory (export "memory") 8)
            (func (export "_start")
                (drop (call $sizes (i32.const 0) (i32.const 4)))
                (drop (call $get (i32.const 1024) (i32.const 4096)))
                (if (i32.eqz (i32.load8_u (i32.const 4096))) (then (unreachable)))
                {then}))"#
    )
}

const LOOP: &str = "(loop (br 0))";
/// Loops from the third call on: while the environment's values are being copied in.
const LOOP_WHILE_LOWERING: &str =
    "(if (i32.gt_u (global.get $next) (i32.const 1100)) (then (loop (br 0))))";

struct Setting {
    _folder: TempDir,
    needle: Needle,
    host: Host,
}

fn setting(pooled: bool) -> Setting {
    let folder = TempDir::new().unwrap();
    let key_file = folder.path().join("key");
    Key::generate().unwrap().write_new(&key_file).unwrap();
    let key = Key::from_file(&key_file).unwrap();
    let store = StoreOptions::new()
        .state_dir(folder.path().join("state"))
        .create(folder.path().join("data/store.db"), key)
        .unwrap();
    let needle = Needle::new();
    let name = "my-secret".parse().unwrap();
    store.create_secret(&name, needle.secret()).unwrap();
    let builder = Host::builder().secrets(store);
    let builder = if pooled {
        builder.instances(4).works(4)
    } else {
        builder.on_demand()
    };
    Setting {
        needle,
        host: builder.build().unwrap(),
        _folder: folder,
    }
}

async fn runs_and_leaves_nothing(text: &str, world: World, expected: impl Fn(&Ending) -> bool) {
    for pooled in [true, false] {
        let setting = setting(pooled);
        assert_eq!(setting.needle.copies(), 0, "before");
        let app = App::from_bytes("guest", text)
            .unwrap()
            .secret("MY_APP_SECRET", "my-secret")
            .unwrap()
            .env("FOO", "bar")
            .unwrap()
            .timeout(Duration::from_millis(300));
        let bound = setting.host.bind(&app).await.unwrap();
        assert_eq!(bound.world(), world);
        for _ in 0..3 {
            let outcome = bound.run(Input::default()).await.unwrap();
            assert!(expected(&outcome.ending), "{:?}", outcome.ending);
        }
        assert!(
            setting.needle.copies() > 0,
            "the search must find the value while it is lent"
        );
        drop(bound);
        assert_eq!(setting.needle.copies(), 0, "pooled: {pooled}");
    }
}

fn trapped(ending: &Ending) -> bool {
    matches!(ending, Ending::Trapped(_))
}

fn timed_out(ending: &Ending) -> bool {
    matches!(ending, Ending::TimedOut(_))
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_no_copy_remains_after_a_normal_end() {
    let text = component("0.2.0", "", "");
    runs_and_leaves_nothing(&text, World::Wasi02, Ending::is_success).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_no_copy_remains_of_the_0_3_interface() {
    let text = component("0.3.0", "", "");
    runs_and_leaves_nothing(&text, World::Wasi02, Ending::is_success).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_no_copy_remains_after_a_trap() {
    let text = component("0.2.0", "(unreachable)", "");
    runs_and_leaves_nothing(&text, World::Wasi02, trapped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_no_copy_remains_after_a_time_out() {
    let text = component("0.2.0", LOOP, "");
    runs_and_leaves_nothing(&text, World::Wasi02, timed_out).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_no_copy_remains_where_the_guest_stalls_while_it_is_given_its_environment() {
    let text = component("0.2.0", "", LOOP_WHILE_LOWERING);
    runs_and_leaves_nothing(&text, World::Wasi02, timed_out).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_no_copy_remains_after_a_0_1_guest() {
    runs_and_leaves_nothing(&module(""), World::Wasi01, Ending::is_success).await;
    runs_and_leaves_nothing(&module("(unreachable)"), World::Wasi01, trapped).await;
    runs_and_leaves_nothing(&module(LOOP), World::Wasi01, timed_out).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_no_copy_remains_after_a_refused_bind() {
    let setting = setting(true);
    let app = App::from_bytes("guest", component("0.2.0", "", ""))
        .unwrap()
        .secret("MY_APP_SECRET", "my-secret")
        .unwrap()
        .secret("OTHER", "not-there")
        .unwrap();
    assert!(setting.host.bind(&app).await.is_err());
    assert_eq!(setting.needle.copies(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_run_stops_its_guest_and_leaves_nothing() {
    let setting = setting(true);
    let app = App::from_bytes("guest", component("0.2.0", LOOP, ""))
        .unwrap()
        .secret("MY_APP_SECRET", "my-secret")
        .unwrap();
    let bound = setting.host.bind(&app).await.unwrap();
    // More than the pool's four: a guest that went on would hold its slot.
    for _ in 0..10 {
        let run = bound.run(Input::default());
        let cut = tokio::time::timeout(Duration::from_millis(50), run).await;
        assert!(cut.is_err(), "it loops for ever");
    }
    drop(bound);
    assert_eq!(setting.needle.copies(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_no_copy_remains_of_what_flow_and_works_were_given_as_bytes() {
    let folder = TempDir::new().unwrap();
    for name in ["flow-probe", "work-probe"] {
        let file = format!("{name}.wasm");
        std::fs::copy(guest(name), folder.path().join(file)).unwrap();
    }
    let manifest = "[flow]\ncomponent = \"flow-probe.wasm\"\n\
                    [works.probe]\ncomponent = \"work-probe.wasm\"\n";
    std::fs::write(folder.path().join("leyden.toml"), manifest).unwrap();
    for pooled in [true, false] {
        let setting = setting(pooled);
        let app = App::from_path(folder.path())
            .unwrap()
            .secret("MY_APP_SECRET", "my-secret")
            .unwrap();
        let bound = setting.host.bind(&app).await.unwrap();
        let script = r#"[
            {"reveal":"MY_APP_SECRET"},
            {"start":{"work":"probe","input":{"reveal":"MY_APP_SECRET"}}},
            {"start":{"work":"probe","input":[{"reveal":"MY_APP_SECRET"},"trap"]}},
            "count"
        ]"#;
        let outcome = bound
            .run(Input {
                arguments: vec![script.to_owned()],
                ..Input::default()
            })
            .await
            .unwrap();
        assert!(outcome.ending.is_success(), "{:?}", outcome.ending);
        assert!(setting.needle.copies() > 0);
        drop(bound);
        assert_eq!(setting.needle.copies(), 0, "pooled: {pooled}");
    }
}
