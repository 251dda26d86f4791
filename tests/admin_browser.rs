//! The admin page in a real browser: by keyboard alone, wide and narrow, light and dark.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::admin_attacks::report;
use crate::support::browser::{Browser, ENTER, axe};
use crate::support::{Admin, App, Home, guest, last_run};

/// A phone and a desk.
const WIDTHS: [u32; 2] = [360, 1440];

/// Marks the page, to see that it was not loaded again.
fn mark(browser: &Browser) {
    browser.until(
        "live",
        "return document.querySelector('main').dataset.connected === 'yes'",
    );
    browser.script("window.marked = true");
}

fn is_marked(browser: &Browser) -> bool {
    browser.script("return window.marked === true") == Value::Bool(true)
}

#[test]
fn a_secret_is_made_bound_watched_and_revoked_by_keyboard() {
    for width in WIDTHS {
        by_keyboard(width);
    }
}

fn by_keyboard(width: u32) {
    let home = Home::new();
    let report = report(&home);
    let admin = Admin::start(&home);
    let browser = Browser::start(width, false);
    browser.go(&admin.address());
    browser.shows("There is no secret yet");

    // Its name is checked while it is typed.
    browser.tab_to("a[href='/secrets/new']");
    browser.press(ENTER);
    browser.shows("New secret");
    browser.tab_to("#name");
    browser.press("my_secret");
    browser.shows("Did you mean my-secret?");
    // Another name can be sent before it was checked.
    let is_valid = "return document.activeElement.checkValidity()";
    browser.until("a fault", "return !document.activeElement.checkValidity()");
    browser.script("window.real = fetch; window.fetch = () => new Promise(() => {})");
    browser.empty_field();
    browser.press("my-secre");
    assert_eq!(browser.script(is_valid), true);
    browser.script("window.fetch = window.real");
    browser.press("t");
    browser.shows("This name can be had.");
    browser.tab_to("#value");
    browser.press("some-value");
    // What is typed is not shown, until somebody asks.
    let masked = "return getComputedStyle(document.querySelector('#value')).webkitTextSecurity";
    assert_eq!(browser.script(masked), "disc");
    assert!(browser.tab_goes_back());
    browser.tab_to("form[action='/secrets/new'] button[type=submit]");
    browser.press(ENTER);
    browser.shows("Created my-secret, version 1.");

    // A release by another process appears by itself.
    browser.tab_to("nav a[href='/audit']");
    browser.press(ENTER);
    browser.until(
        "the audit log",
        "return document.title.startsWith('Audit log')",
    );
    mark(&browser);
    let bound = home
        .run_app(&guest("env-p2"), &["--secret", "A=my-secret"])
        .succeeded();
    assert!(bound.stdout.contains("A=some-value"), "{bound:?}");
    browser.until("the release", "return [...document.querySelectorAll('#list tbody tr')].some(row => row.innerText.includes('release') && row.innerText.includes('my-secret@1'))");
    assert!(is_marked(&browser));

    browser.visit("/secret/my-secret");
    browser.tab_to("a[href='/secret/my-secret/versions']");
    browser.press(ENTER);
    browser.until("the form", "return location.pathname.endsWith('/versions')");
    browser.tab_to("#value");
    browser.press("another-value");
    browser.tab_to("form[action='/secret/my-secret/versions'] button[type=submit]");
    browser.press(ENTER);
    browser.shows("Added version 2.");

    // An app that asks is refused, then granted it, then refused again.
    home.run_app(&report, &[]).ended_with(77);
    browser.tab_to("nav a[href='/apps']");
    browser.press(ENTER);
    browser.until("apps", "return location.pathname === '/apps'");
    browser.tab_to("input[name=path]");
    browser.press(&format!("{}{ENTER}", report.display()));
    browser.shows("This very version may bind my-secret as TOKEN");
    browser.tab_to("form[action='/secret/my-secret/grants'] button");
    browser.press(ENTER);
    browser.shows("Granted my-secret to sha256:");
    let granted = home.run_app(&report, &[]).succeeded();
    assert!(
        granted.stdout.contains("TOKEN=another-value"),
        "{granted:?}"
    );
    browser.tab_to("form[action='/secret/my-secret/revoke'] button");
    browser.press(ENTER);
    browser.shows("Revoked my-secret from sha256:");
    home.run_app(&report, &[]).ended_with(77);

    // After it is logged out, a page shows nothing, also not by going back.
    browser.tab_to("form[action='/logout'] button");
    browser.press(ENTER);
    browser.shows("Open the link that");
    browser.script("history.back()");
    browser.shows("Open the link that");
    assert_eq!(
        browser.script("return document.body.innerText.includes('my-secret')"),
        false
    );
}

#[test]
fn a_run_is_watched_while_it_goes_on_and_stopped() {
    let home = Home::new();
    let app = App::scripted(&home, "");
    let admin = Admin::start(&home);
    let browser = Browser::start(1440, false);
    browser.go(&admin.address());
    browser.shows("There is no secret yet");
    browser.visit("/runs");
    browser.shows("Nothing has run here yet");
    mark(&browser);
    let probe = |input: Value| json!({ "start": { "work": "probe", "input": input } });
    let script = json!([
        probe(json!({ "stdout": "a line of the log" })),
        { "wait": [1] },
        probe(json!({ "sleep": 600_000 })),
        { "wait": "all" },
    ]);
    let mut running = home
        .leyden()
        .args(["run", "app"])
        .arg(app.path())
        .args(["--", &script.to_string()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    browser.until(
        "the run",
        "return document.querySelector('#list')?.innerText.includes('running') === true",
    );
    assert!(is_marked(&browser));
    let open = "document.querySelector('#list tbody a').click()";
    browser.script(open);
    browser.until(
        "its picture",
        "return document.querySelectorAll('.timeline rect.wait').length === 2",
    );
    browser.shows("a line of the log");
    mark(&browser);
    browser.tab_to("form[action$='/stop'] button");
    browser.press(ENTER);
    browser.shows("Asked the run");
    assert_eq!(crate::support::wait(&mut running), 143);
    browser.until(
        "its end",
        "return document.querySelector('#actions').innerText.includes('stopped')",
    );
}

/// Whoever copies from a page that is live keeps what was selected.
#[test]
fn what_is_selected_stays_so_while_a_log_grows_and_a_table_waits() {
    let home = Home::new();
    let app = App::scripted(&home, "");
    let line = json!({ "stdout": "a line of the log" });
    let script = json!([{ "start": { "work": "probe", "input": line } }, { "wait": "all" }]);
    app.run(&home, &[], &script).succeeded();
    let run = last_run(&home)["id"].as_str().unwrap().to_owned();
    let admin = Admin::start(&home);
    let browser = Browser::start(1440, false);
    browser.go(&admin.address());
    browser.shows("There is no secret yet");
    browser.visit(&format!("/run/{run}"));
    mark(&browser);
    let select = |within: &str| {
        browser.script(&format!(
            "getSelection().setBaseAndExtent({within}.firstChild, 1, {within}.firstChild, 5);
             return getSelection().toString()"
        ))
    };
    let selected = "return getSelection().toString()";
    let of_log = select("document.getElementById('log')");
    let log = home.path().join(format!("state/leyden/runs/{run}/log"));
    let mut log = std::fs::File::options().append(true).open(log).unwrap();
    log.write_all(b"2030-01-31T00:00:00.000Z probe#1 another line of it\n")
        .unwrap();
    browser.shows("another line of it");
    assert_eq!(browser.script(selected), of_log);
    assert_eq!(of_log.as_str().unwrap().len(), 4);
    // A picture that is wider than the page stays where somebody has moved it to.
    browser.script(
        "getSelection().removeAllRanges();
         document.querySelector('main').style.maxWidth = '300px';
         document.querySelector('#timeline .scroll').scrollLeft = 40;
         document.querySelector('#timeline .legend').remove()",
    );
    log.write_all(b"2030-01-31T00:00:00.000Z probe#1 a third line\n")
        .unwrap();
    browser.until(
        "the picture",
        "return document.querySelector('#timeline .legend') !== null",
    );
    let aside = "return document.querySelector('#timeline .scroll').scrollLeft";
    assert_eq!(browser.script(aside), 40);
    assert!(is_marked(&browser));

    // What is not only added to waits until nothing in it is selected.
    browser.visit("/runs");
    mark(&browser);
    let of_list = select("document.querySelector('#list tbody a')");
    assert_eq!(of_list, "robe");
    home.run_app(&guest("env-p2"), &[]).succeeded();
    browser.until("what waits", "return left");
    assert_eq!(browser.script(selected), of_list);
    let rows = "document.querySelectorAll('#list tbody tr').length";
    assert_eq!(browser.script(&format!("return {rows}")), 1);
    browser.script("getSelection().removeAllRanges()");
    browser.until("both runs", &format!("return {rows} === 2"));
    assert!(is_marked(&browser));
}

#[test]
fn a_rotation_is_watched_from_its_beginning_to_its_end() {
    const SECRETS: usize = 2000;
    let home = Home::new();
    let file = home.path().join("many.env");
    let lines = (0..SECRETS).map(|number| format!("s_{number}=x\n"));
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    home.run(["secret", "import", file.to_str().unwrap()])
        .succeeded();
    let admin = Admin::start(&home);
    let browser = Browser::start(1440, false);
    browser.go(&admin.address());
    browser.shows("2000 in all");
    // On a machine that lets the page wait too long, a rotation may pass unseen.
    for attempt in 1.. {
        assert!(attempt <= 20, "no rotation was seen in its middle");
        browser.visit("/keys");
        mark(&browser);
        browser.script(
            "window.seen = [];
             new MutationObserver(() => {
               const bar = document.querySelector('progress#rotating');
               if (bar) window.seen.push([bar.value, bar.max, document.querySelector('label[for=rotating]').innerText]);
             }).observe(document.body, { subtree: true, childList: true, attributes: true });
             const form = document.querySelector('form[action=\"/keys/rotate\"]');
             fetch('/keys/rotate', { method: 'POST', body: new FormData(form) });",
        );
        let ended = format!(
            "The keys of {SECRETS} versions were sealed under KEK {}.",
            attempt + 1
        );
        browser.shows(&ended);
        assert!(is_marked(&browser));
        assert_eq!(
            browser.script("return document.querySelector('progress#rotating') === null"),
            true
        );
        let keks = browser.script("return document.querySelector('#keks-list tbody').innerText");
        assert!(keks.as_str().unwrap().contains("2000"), "{keks}");
        let seen = browser.script("return window.seen");
        let middle = seen.as_array().unwrap().iter().find(|seen| {
            let done = seen[0].as_u64().unwrap();
            0 < done && done < SECRETS as u64
        });
        if let Some(middle) = middle {
            assert_eq!(middle[1], SECRETS);
            let told = format!("Rotating: {} of {SECRETS} secrets", middle[0]);
            assert_eq!(middle[2], told.as_str());
            return;
        }
    }
}

/// A home in which something of everything happened.
fn lived_in() -> Home {
    let home = Home::new();
    for name in [
        "billing.stripe-key",
        "my-secret",
        "staging-db",
        "old-token",
        "tls.example.com",
    ] {
        home.create_secret(name, "some-value");
    }
    let leyden = |words: &str| home.run(words.split(' ')).succeeded();
    leyden("secret delete old-token --yes");
    crate::support::run(
        home.leyden()
            .args(["secret", "set", "staging-db", "--expires", "30d"]),
        b"v2",
    )
    .succeeded();
    leyden("secret restrict tls.example.com");
    let report = report(&home);
    home.run_app(&report, &[]).ended_with(77);
    leyden(&format!("trust {} --yes", report.display()));
    home.run_app(&report, &[]).succeeded();
    home.run_app(&guest("env-p2"), &["--secret", "DB=old-token"])
        .ended_with(77);
    home.run_app(&guest("exit"), &["--", "3"]);
    let app = App::scripted(&home, "timeout = \"1s\"\nretries = 1\nparallel = 3\n");
    let probe = |input: Value| json!({ "start": { "work": "probe", "input": input } });
    let script = json!([
        probe(json!({ "sleep": 300 })),
        probe(json!({ "sleep": 700 })),
        probe(json!({ "error": "the file has no header" })),
        probe(json!({ "sleep": 60_000 })),
        probe(json!({ "stdout": "read 12,000 rows" })),
        probe(json!({ "sleep": 400 })),
        probe(json!("trap")),
        { "wait": "all" },
    ]);
    app.run(&home, &["--secret", "TOKEN=my-secret"], &script)
        .succeeded();
    home
}

/// Pictures for a person to look at, of each page in each shape; none may break WCAG A or AA, need
/// more width than there is, or be told of by the browser's console.
#[test]
fn every_page_is_accessible_and_fits_wide_and_narrow_light_and_dark() {
    let (axe, home) = (axe(), lived_in());
    let admin = Admin::start(&home);
    let runs = home.run(["runs", "list", "--output", "json"]).succeeded();
    let runs: Vec<Value> = serde_json::from_str(&runs.stdout).unwrap();
    let run = runs.iter().find(|run| run["app"] == "probe").unwrap();
    let app = runs.iter().find(|run| run["app"] == "report").unwrap();
    let pages = [
        ("secrets", "/secrets".to_owned()),
        ("secrets-none-found", "/secrets?q=zzz".to_owned()),
        ("new", "/secrets/new".to_owned()),
        ("secret", "/secret/my-secret".to_owned()),
        ("secret-deleted", "/secret/old-token".to_owned()),
        ("version", "/secret/my-secret/versions".to_owned()),
        ("delete", "/secret/my-secret/delete".to_owned()),
        ("apps", "/apps".to_owned()),
        ("app", format!("/app/{}", app["digest"].as_str().unwrap())),
        ("runs", "/runs".to_owned()),
        ("run", format!("/run/{}", run["id"].as_str().unwrap())),
        ("audit", "/audit".to_owned()),
        ("keys", "/keys".to_owned()),
        ("missing", "/secret/none".to_owned()),
    ];
    let mut wrong = Vec::new();
    for (number, (width, dark)) in
        (1..).zip([(1440, false), (360, false), (1440, true), (360, true)])
    {
        let browser = Browser::start(width, dark);
        if number > 1 {
            // Each browser logs in by a link of its own.
            browser.go(&format!("http://{}/login", admin.host()));
            browser.shows("Open the link that");
            admin.print_another();
        }
        let shape = format!("{width}-{}", if dark { "dark" } else { "light" });
        let mut look = |name: &str| {
            browser.picture(&format!("{name}-{shape}"));
            let found = browser.violations(&axe);
            wrong.extend(
                found
                    .into_iter()
                    .map(|one| format!("{name} {shape}: {one}")),
            );
            let overflow = browser.script("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
            if overflow != 0 {
                wrong.push(format!("{name} {shape}: {overflow} pixels too wide"));
            }
            // Nobody scrolls a line that is to be read, and typed elsewhere.
            let cut = browser.script("return [...document.querySelectorAll('.command code')].filter(line => line.scrollWidth > line.clientWidth).map(line => line.textContent)");
            if width == 360 && cut != json!([]) {
                wrong.push(format!(
                    "{name} {shape}: command lines that are not wrapped: {cut}"
                ));
            }
        };
        if number > 1 {
            look("login");
        }
        browser.go(&admin.address_of(number));
        browser.shows("billing.stripe-key");
        for (name, path) in &pages {
            browser.visit(path);
            // What is folded together is to be read, too.
            browser
                .script("document.querySelectorAll('details').forEach(one => { one.open = true })");
            look(name);
        }
        timeline_has_round_marks(&browser, &pages);
        browser.visit("/runs");
        // It ended well, and Works of it did not.
        let badge = "return [...document.querySelectorAll('#list tr')].find(row => row.innerText.includes('failed')).querySelector('.badge').className";
        assert_eq!(browser.script(badge), "badge note");
        if number == 2 {
            exact_times(&browser, &pages, &mut look);
        }
        browser.visit("/secret/my-secret");
        browser.script(
            "document.getElementById('to').value = 'folder:/';
             document.querySelector('form[action=\"/secret/my-secret/grants\"]').requestSubmit()",
        );
        browser.shows("the folder of all folders");
        look("grant-folder");
        let store = rusqlite::Connection::open(home.store()).unwrap();
        let change = |from: &str, to: &str| {
            let sql = "UPDATE audit SET body = replace(body, ?, ?) WHERE sequence = 4";
            assert_eq!(store.execute(sql, [from, to]).unwrap(), 1);
        };
        change("done", "denied");
        browser.visit("/audit");
        browser.shows("is broken at record 4");
        look("audit-damaged");
        change("denied", "done");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Marks of a run of some seconds: a round time apart, and none over another.
fn timeline_has_round_marks(browser: &Browser, pages: &[(&str, String)]) {
    let (_, run) = pages.iter().find(|(name, _)| *name == "run").unwrap();
    browser.visit(run);
    let marks = browser.script(
        "return [...document.querySelectorAll('.timeline text.soft')].map(mark => {
           const box = mark.getBoundingClientRect();
           return [mark.textContent.trim(), box.left, box.right];
         })",
    );
    let marks = marks.as_array().unwrap();
    let texts: Vec<_> = marks.iter().map(|mark| mark[0].as_str().unwrap()).collect();
    let round = [
        &["0 µs", "500 ms", "1.0 s", "1.5 s", "2.0 s", "2.5 s"][..],
        &["0 µs", "1.0 s", "2.0 s", "3.0 s", "4.0 s", "5.0 s"],
        &["0 µs", "2.0 s", "4.0 s", "6.0 s", "8.0 s", "10.0 s"],
    ];
    assert!(
        texts.len() > 1 && round.iter().any(|round| round.starts_with(&texts)),
        "{texts:?}"
    );
    for pair in marks.windows(2) {
        let (end, start) = (pair[0][2].as_f64(), pair[1][1].as_f64());
        assert!(end.unwrap() < start.unwrap(), "{marks:?}");
    }
}

/// Exact times, for whoever has nothing to hover with.
fn exact_times(browser: &Browser, pages: &[(&str, String)], look: &mut impl FnMut(&str)) {
    browser.visit("/secrets");
    browser.tab_to("#exact-times");
    browser.press(" ");
    let mut seen = 0;
    for (name, path) in pages {
        browser.visit(path);
        browser.script("document.querySelectorAll('details').forEach(one => { one.open = true })");
        let times =
            browser.script("return [...document.querySelectorAll('main time')].map(time => [time.innerText.trim(), time.title])");
        for time in times.as_array().unwrap() {
            assert_eq!(time[0], time[1], "{name}");
            seen += 1;
        }
        look(&format!("{name}-exact"));
    }
    assert!(seen > 50, "{seen}");
    // Whoever takes it back sees how long ago it was.
    browser.visit("/runs");
    browser.tab_to("#exact-times");
    browser.press(" ");
    let first = browser.script("return document.querySelector('main time').innerText.trim()");
    let first = first.as_str().unwrap();
    assert!(first.ends_with("ago") || first == "just now", "{first}");
}

#[test]
fn the_page_works_without_its_script() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let browser = Browser::start(1440, false);
    browser.without_scripts();
    browser.go(&admin.address());
    browser.shows("1 in all");
    browser.tab_to("a[href='/secrets/new']");
    browser.press(ENTER);
    browser.shows("New secret");
    browser.tab_to("#name");
    browser.press("other");
    browser.tab_to("#value");
    browser.press("x");
    browser.tab_to("form[action='/secrets/new'] button[type=submit]");
    browser.press(ENTER);
    browser.shows("Created other, version 1.");
    browser.tab_to("a[href='/secret/other/delete']");
    browser.press(ENTER);
    browser.shows("Delete other?");
    browser.tab_to("button.warn");
    browser.press(ENTER);
    browser.shows("It is deleted");
    browser.tab_to("form[action='/secret/other/restore'] button");
    browser.press(ENTER);
    browser.shows("Restored other.");
    browser.tab_to("#exact-times");
    browser.press(" ");
    let time = "const time = document.querySelector('main time'); return time.innerText.trim() === time.title";
    assert_eq!(browser.script(time), true);
}

/// A browser keeps what was posted with the page that answered it, in a history that is on disk.
#[test]
fn g4_what_was_typed_into_a_refused_form_is_not_in_the_browsers_files() {
    const VALUE: &str = "some-value-that-was-typed";
    let home = Home::with_my_secret();
    let mut admin = Admin::start(&home);
    let browser = Browser::start(1440, false);
    browser.go(&admin.address());
    browser.shows("my-secret");
    // By the page's script, and as a browser without scripts does.
    let [by_script, by_browser] = ["requestSubmit", "submit"];
    let send = |expires: &str, how: &str| {
        browser.script(&format!(
            "for (const [id, text] of [['name', 'other'], ['value', '{VALUE}'], ['expires', '{expires}']]) {{
               const field = document.getElementById(id);
               if (field) field.value = text;
             }}
             document.querySelector('main form').{how}()"
        ));
    };
    for (path, how) in [
        ("/secrets/new", by_script),
        ("/secret/my-secret/versions", by_script),
        ("/secrets/new", by_browser),
        ("/secret/my-secret/versions", by_browser),
    ] {
        browser.visit(path);
        send("whenever", how);
        browser.shows("Nothing was stored");
        assert_eq!(
            browser.script("return location.pathname.split('/')[1]"),
            "answer"
        );
    }
    // A file that is too large is not sent, or is refused in words.
    browser.visit("/secrets/new");
    browser.script(
        "const files = new DataTransfer();
         files.items.add(new File([new Uint8Array(12 << 20)], 'large'));
         document.getElementById('file').files = files.files",
    );
    send("", by_script);
    browser.shows("The file is too large");
    send("", by_browser);
    browser.shows("That is too much");
    // A session that ended meanwhile; a page that nobody saw at that time shows nothing any more.
    let log_out = "fetch('/logout', { method: 'POST', body: new FormData(document.querySelector('header form')) })
           .then(() => { window.left = true; })";
    let log_in = |admin: &mut Admin| {
        *admin = Admin::start(&home);
        browser.go(&admin.address());
        browser.shows("my-secret");
    };
    for how in [by_script, by_browser] {
        browser.visit("/secrets/new");
        browser.script(log_out);
        browser.until("logged out", "return window.left === true");
        send("", how);
        browser.shows("Open the link that");
        log_in(&mut admin);
    }
    let hide = |hidden: bool| {
        browser.script(&format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }});
             document.dispatchEvent(new Event('visibilitychange'))"
        ));
    };
    browser.visit("/secrets");
    mark(&browser);
    hide(true);
    browser.script(log_out);
    browser.until("logged out", "return window.left === true");
    assert!(is_marked(&browser));
    hide(false);
    browser.shows("Open the link that");
    // A server that is gone: whoever looks at a page is told.
    log_in(&mut admin);
    browser.visit("/secrets");
    mark(&browser);
    admin.stop();
    browser.shows("This page is not live");
    let told = "return document.querySelector('#standing[role=status] a').getAttribute('href')";
    assert_eq!(browser.script(told), "/secrets");
    assert!(is_marked(&browser));
    log_in(&mut admin);
    browser.visit("/secrets/new");
    admin.stop();
    send("", by_script);
    browser.shows("The server does not answer");
    let left = browser.quit();
    assert!(left.len() > 20, "{}", left.len());
    for (path, bytes) in left {
        let found = memchr::memmem::find(&bytes, VALUE.as_bytes());
        assert!(found.is_none(), "{}", path.display());
    }
    assert_eq!(home.run(["secret", "show", "other"]).status, 77);
}
