//! A real browser: Chromium, through ChromeDriver (W3C WebDriver, <https://www.w3.org/TR/webdriver2/>).

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{request, send};
use super::target;

/// After this time something is taken never to appear; far above what it takes.
const NEVER: Duration = Duration::from_secs(90);

/// Keys, as WebDriver writes them.
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";
const SHIFT: &str = "\u{e008}";
const CONTROL: &str = "\u{e009}";

/// One window of a browser with no history.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// A window that is so many pixels wide.
    pub fn start(width: u32, dark: bool) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("no chromedriver ({error}): run `cargo xtask test`, which installs it")
            });
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let port = line.split_once("started successfully on port ")?.1;
                port.trim_end_matches('.').parse().ok()
            })
            .expect("ChromeDriver starts");
        // It stops where nobody reads what it prints.
        thread::spawn(move || lines.for_each(drop));
        let profile = TempDir::new().unwrap();
        let mut browser = Self {
            driver,
            port,
            session: String::new(),
            _profile: profile,
        };
        browser.open();
        browser.cdp(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false }),
        );
        // A phone's take no room.
        browser.cdp("Emulation.setScrollbarsHidden", &json!({ "hidden": true }));
        let scheme = if dark { "dark" } else { "light" };
        browser.cdp(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }),
        );
        browser
    }

    fn open(&mut self) {
        let profile = format!("--user-data-dir={}", self._profile.path().display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &profile,
        ];
        let options = json!({ "args": arguments });
        let wanted = json!({ "browserName": "chrome", "goog:chromeOptions": options });
        let opened = self.ask(
            "POST /session",
            &json!({ "capabilities": { "alwaysMatch": wanted } }),
        );
        self.session = opened["sessionId"].as_str().unwrap().to_owned();
    }

    /// One command of the protocol; what it answers, or what is wrong.
    fn try_ask(&self, line: &str, body: &Value) -> Result<Value, String> {
        let body = if line.starts_with("POST") {
            body.to_string()
        } else {
            String::new()
        };
        let host = format!("127.0.0.1:{}", self.port);
        let headers = [
            ("Host", host.as_str()),
            ("Content-Type", "application/json"),
        ];
        let answer = send(self.port, &request(line, &headers, body.as_bytes()));
        let answer = answer.expect("ChromeDriver answers");
        let mut told: Value =
            serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        match answer.status {
            200 => Ok(told["value"].take()),
            _ => Err(told["value"]["message"].to_string()),
        }
    }

    #[track_caller]
    fn ask(&self, line: &str, body: &Value) -> Value {
        self.try_ask(line, body)
            .unwrap_or_else(|wrong| panic!("{line}: {wrong}"))
    }

    #[track_caller]
    fn post(&self, what: &str, body: &Value) -> Value {
        self.ask(&format!("POST /session/{}/{what}", self.session), body)
    }

    fn cdp(&self, command: &str, parameters: &Value) -> Value {
        self.post(
            "goog/cdp/execute",
            &json!({ "cmd": command, "params": parameters }),
        )
    }

    /// From here on no page's script runs.
    pub fn without_scripts(&self) {
        self.cdp(
            "Emulation.setScriptExecutionDisabled",
            &json!({ "value": true }),
        );
    }

    #[track_caller]
    pub fn go(&self, address: &str) {
        self.post("url", &json!({ "url": address }));
    }

    /// Goes to another page of the same site.
    #[track_caller]
    pub fn visit(&self, path: &str) {
        let origin = self.script("return location.origin");
        self.go(&format!("{}{path}", origin.as_str().unwrap()));
    }

    /// Runs a script in the page; what it returns.
    #[track_caller]
    pub fn script(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until a script returns true.
    #[track_caller]
    pub fn until(&self, what: &str, script: &str) {
        let started = Instant::now();
        let path = format!("POST /session/{}/execute/sync", self.session);
        // A page that is just being left answers nothing.
        while self.try_ask(&path, &json!({ "script": script, "args": [] })) != Ok(Value::Bool(true))
        {
            if started.elapsed() > NEVER {
                let text = self.script("return document.title + '\\n' + document.body.innerText");
                panic!("never: {what}\n{}", text.as_str().unwrap_or_default());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the page shows a text.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        let quoted = Value::from(text);
        self.until(
            text,
            &format!("return document.body.innerText.includes({quoted})"),
        );
    }

    /// Presses keys, one after the other, on whatever has the focus.
    #[track_caller]
    pub fn press(&self, keys: &str) {
        self.chord(&[], keys);
    }

    /// The same while others are held.
    #[track_caller]
    fn chord(&self, held: &[&str], keys: &str) {
        let event = |kind: &str, key: &str| json!({ "type": kind, "value": key });
        let mut events: Vec<_> = held.iter().map(|key| event("keyDown", key)).collect();
        for key in keys.chars().map(String::from) {
            events.extend([event("keyDown", &key), event("keyUp", &key)]);
        }
        events.extend(held.iter().map(|key| event("keyUp", key)));
        self.post(
            "actions",
            &json!({ "actions": [{ "type": "key", "id": "keys", "actions": events }] }),
        );
    }

    /// Takes out what stands in the field that has the focus, by its keys.
    pub fn empty_field(&self) {
        self.chord(&[CONTROL], "a");
        self.press("\u{e017}");
    }

    /// Moves the focus there, by the Tab key alone.
    #[track_caller]
    pub fn tab_to(&self, selector: &str) {
        let is_there = format!(
            "return document.activeElement.matches({})",
            Value::from(selector)
        );
        for _ in 0..120 {
            if self.script(&is_there) == Value::Bool(true) {
                return;
            }
            self.press(TAB);
        }
        panic!("no key leads to {selector}");
    }

    /// Moves the focus back, and says whether it is where it was.
    pub fn tab_goes_back(&self) -> bool {
        let here = "return document.activeElement.outerHTML";
        let before = self.script(here);
        self.press(TAB);
        self.chord(&[SHIFT], TAB);
        self.script(here) == before
    }

    /// A picture of the whole page, and not only of what the window shows.
    pub fn picture(&self, name: &str) -> PathBuf {
        let folder = target().join("screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        let taken = self.cdp(
            "Page.captureScreenshot",
            &json!({ "format": "png", "captureBeyondViewport": true }),
        );
        let path = folder.join(format!("{name}.png"));
        let bytes = BASE64
            .decode(taken["data"].as_str().unwrap().as_bytes())
            .unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// What axe-core finds against WCAG 2.2, levels A and AA, on this page.
    pub fn violations(&self, axe: &str) -> Vec<String> {
        let script = format!(
            "{axe}\n;const done = arguments[arguments.length - 1];
             axe.run(document, {{ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }})
               .then(found => done(found.violations.map(one =>
                 one.id + ': ' + one.help + ' ' + one.nodes.map(node => node.html + ' ' + node.failureSummary).join(' | '))),
                 error => done(['axe-core failed: ' + error]));"
        );
        let found = self.post("execute/async", &json!({ "script": script, "args": [] }));
        let found = found.as_array().expect("axe-core answers");
        found
            .iter()
            .map(|one| one.as_str().unwrap().to_owned())
            .collect()
    }
}

impl Browser {
    /// Ends the browser, as a person would; all files that it leaves, and what is in them.
    pub fn quit(self) -> Vec<(PathBuf, Vec<u8>)> {
        // It may be gone before it answers.
        let close = json!({ "cmd": "Browser.close", "params": {} });
        let path = format!("POST /session/{}/goog/cdp/execute", self.session);
        let _ = self.try_ask(&path, &close);
        let lock = self._profile.path().join("SingletonLock");
        let started = Instant::now();
        while lock.symlink_metadata().is_ok() {
            assert!(started.elapsed() < NEVER, "the browser does not end");
            thread::sleep(Duration::from_millis(50));
        }
        let (mut files, mut folders) = (Vec::new(), vec![self._profile.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                match entry.file_type().unwrap() {
                    kind if kind.is_dir() => folders.push(path),
                    kind if kind.is_file() => {
                        let bytes = std::fs::read(&path).unwrap_or_default();
                        files.push((path, bytes));
                    }
                    _ => {}
                }
            }
        }
        files
    }
}

/// axe-core, which `cargo xtask test` fetches.
pub fn axe() -> String {
    let path = target().join("axe/node_modules/axe-core/axe.min.js");
    let read = |path: &Path| std::fs::read_to_string(path);
    read(&path).unwrap_or_else(|error| {
        panic!(
            "{} ({error}): run `cargo xtask test`, which fetches it",
            path.display()
        )
    })
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser, too.
        let _ = self.try_ask(&format!("DELETE /session/{}", self.session), &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
