//! What is asked and typed on a terminal: hidden prompts, questions, values that are shown.

use std::io::{BufReader, Read as _, Write as _};
use std::process::Command;

use crate::support::{Home, run, wait};

/// Waits, in a shell's script, until what is typed on its terminal is not shown.
const UNTIL_HIDDEN: &str = "until stty -a < /dev/tty | grep -q -e '-echo '; do sleep 0.05; done";

#[test]
fn a_signal_at_a_hidden_prompt_leaves_the_terminal_as_it_was() {
    let home = Home::with_my_secret();
    let prompting = format!(
        r#"
        {{ {UNTIL_HIDDEN}; kill -s "$SIGNAL" "$(cat pid)"; }} &
        sh -c 'echo $$ > pid; exec env --default-signal "$LEYDEN" key add spare --passphrase'
        echo "status $?"
        stty -a < /dev/tty
    "#
    );
    for (signal, status) in [
        ("TERM", 143),
        ("HUP", 129),
        ("QUIT", 131),
        ("ABRT", 134),
        ("USR1", 138),
        ("USR2", 140),
        ("ALRM", 142),
        ("XCPU", 152),
        ("VTALRM", 154),
        ("PROF", 155),
    ] {
        let mut terminal = home.on_terminal(&prompting);
        let mut child = terminal.env("SIGNAL", signal).spawn().unwrap();
        let mut printed = String::new();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_to_string(&mut printed).unwrap();
        assert_eq!(wait(&mut child), 0, "{printed}");
        assert!(printed.contains(&format!("status {status}")), "{printed}");
        assert!(!printed.contains("-echo "), "{signal}: {printed}");
        assert!(printed.contains(" icanon"), "{printed}");
    }
}

#[test]
fn a_hidden_prompt_that_is_stopped_leaves_the_terminal_to_the_shell_until_it_goes_on() {
    let home = Home::with_my_secret();
    let stopping = format!(
        r#"
        set -m
        {{ {UNTIL_HIDDEN}; kill -s TSTP "$(cat pid)"; }} &
        sh -c 'echo $$ > pid; exec "$LEYDEN" key add spare --passphrase'
        echo stopped; stty -a < /dev/tty
        {{ {UNTIL_HIDDEN}; echo "hidden again"; kill -s TERM "$(cat pid)"; }} &
        fg
        echo "status $?"; stty -a < /dev/tty
    "#
    );
    let mut child = home.on_terminal(&stopping).spawn().unwrap();
    let mut printed = String::new();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_to_string(&mut printed).unwrap();
    assert_eq!(wait(&mut child), 0, "{printed}");
    let (_, printed) = printed.split_once("stopped\r\n").unwrap();
    for words in ["New passphrase: ", "hidden again", "status 143"] {
        assert!(printed.contains(words), "{printed}");
    }
    assert!(!printed.contains("-echo "), "{printed}");
    assert_eq!(printed.matches(" icanon").count(), 2, "{printed}");
}

#[test]
fn what_was_typed_at_a_hidden_prompt_before_it_was_stopped_is_forgotten() {
    let stopping = format!(
        r#"
        set -m
        {{ {UNTIL_HIDDEN}; until [ -e go ]; do sleep 0.02; done; kill -s TSTP "$(cat pid)"; }} &
        sh -c 'echo $$ > pid; exec "$LEYDEN" secret create typed'
        fg
        echo "status $?"
    "#
    );
    for _ in 0..20 {
        let home = Home::new();
        let mut child = home.on_terminal(&stopping).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let (mut printed, mut asked) = (Vec::new(), 0);
        for byte in BufReader::new(child.stdout.take().unwrap()).bytes() {
            printed.push(byte.unwrap());
            if printed.ends_with(b"typed: ") || printed.ends_with(b"again: ") {
                asked += 1;
                match asked {
                    1 => stdin.write_all(b"some-value wrong").unwrap(),
                    _ => stdin.write_all(b"some-value right\n").unwrap(),
                }
                std::fs::write(home.path().join("go"), "").unwrap();
            }
        }
        let printed = String::from_utf8(printed).unwrap();
        wait(&mut child);
        // It came only once the shell had the terminal, which shows what is typed: once more.
        if printed.contains("wrong") {
            continue;
        }
        assert!(printed.contains("status 0"), "{printed}");
        assert_eq!(asked, 3, "{printed}");
        let shown = home.run(["secret", "reveal", "typed", "--yes"]);
        assert_eq!(shown.succeeded().stdout, "some-value right");
        return;
    }
    panic!("what is typed comes too late each time");
}

/// What is printed on a terminal, where each of these is typed once it is asked for: `Value of
/// NAME: `, `…, again: ` or `[y/N] `. And how often it was asked for, and the exit status.
fn typed(mut terminal: Command, answers: &[&[u8]]) -> (String, usize, i32) {
    let mut child = terminal.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (mut printed, mut asked) = (Vec::new(), 0);
    for byte in BufReader::new(child.stdout.take().unwrap()).bytes() {
        printed.push(byte.unwrap());
        // Nothing is shown any more once it asks.
        let questions: [&[u8]; 3] = [b"typed: ", b"again: ", b"[y/N] "];
        if questions.iter().any(|asked| printed.ends_with(asked)) {
            stdin.write_all(answers[asked]).unwrap();
            asked += 1;
        }
    }
    let printed = String::from_utf8(printed).unwrap();
    (printed, asked, wait(&mut child))
}

#[test]
fn what_is_typed_at_a_hidden_prompt_is_stored_exactly_or_refused() {
    for (answer, stored) in [
        (
            &b"some-value na\xc3\xafve\twith\\n $\n"[..],
            Some("some-value naïve\twith\\n $"),
        ),
        (b"caf\xe9\n", None),
        // Ctrl-Z and Ctrl-\ stop and end nothing.
        (b"caf\x1a\x1c\n", None),
    ] {
        let home = Home::new();
        let create = home.on_terminal("\"$LEYDEN\" secret create typed");
        let (printed, asked, status) = typed(create, &[answer, answer]);
        assert!(
            !printed.contains("some-value") && !printed.contains("caf"),
            "{printed}"
        );
        match stored {
            Some(value) => {
                assert_eq!((status, asked), (0, 2), "{printed}");
                let shown = home.run(["secret", "reveal", "typed", "--yes"]);
                assert_eq!(shown.succeeded().stdout, value);
            }
            None => {
                assert_eq!((status, asked), (2, 1), "{printed}");
                let why = match answer.is_ascii() {
                    true => "Ctrl-Z and Ctrl-\\ do nothing",
                    false => "is not UTF-8",
                };
                assert!(printed.contains(why), "{printed}");
                assert!(!home.store().exists());
            }
        }
    }
}

#[test]
fn what_is_pasted_behind_a_hidden_answer_reaches_neither_the_next_question_nor_the_shell() {
    let home = Home::new();
    let create = home.on_terminal(
        r#"
        "$LEYDEN" secret create typed
        stty -icanon min 0 time 0 < /dev/tty
        echo "left: [$(cat < /dev/tty)]"
    "#,
    );
    let answers: [&[u8]; 2] = [
        b"some-value one\nsome-value two\n",
        b"some-value one\nsome-value three\n",
    ];
    let (printed, asked, status) = typed(create, &answers);
    assert_eq!((status, asked), (0, 2), "{printed}");
    assert!(!printed.contains("some-value"), "{printed}");
    assert!(printed.contains("left: []"), "{printed}");
    let shown = home.run(["secret", "reveal", "typed", "--yes"]);
    assert_eq!(shown.succeeded().stdout, "some-value one");
}

#[test]
fn secrets_are_not_imported_from_what_is_typed_for_all_to_see() {
    let home = Home::new();
    let import = "\"$LEYDEN\" secret import - --format env";
    let told = run(&mut home.on_terminal(import), b"").ended_with(2);
    assert!(told.stdout.contains("would be shown"), "{told:?}");
    assert!(!home.store().exists());
}

#[test]
fn a_question_that_nobody_answers_leaves_its_line() {
    let home = Home::with_my_secret();
    let delete = home.on_terminal("\"$LEYDEN\" secret delete my-secret");
    // Ctrl-D
    let (printed, asked, status) = typed(delete, &[b"\x04"]);
    assert_eq!((asked, status), (1, 1), "{printed}");
    let (question, answer) = printed.split_once("[y/N] ").unwrap();
    assert!(question.contains("restored for 30 days."), "{printed}");
    assert!(
        answer.ends_with("\r\nleyden: nothing was deleted\r\n"),
        "{printed:?}"
    );
}

#[test]
fn a_question_is_not_answered_by_what_was_typed_before_it() {
    let home = Home::with_my_secret();
    let mut terminal = home.on_terminal(
        r#"
        echo ready; until [ -e go ]; do sleep 0.02; done
        "$LEYDEN" secret delete my-secret; echo "status $?"
    "#,
    );
    let mut child = terminal.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut printed = Vec::new();
    for byte in BufReader::new(child.stdout.take().unwrap()).bytes() {
        printed.push(byte.unwrap());
        if printed.ends_with(b"ready\r\n") {
            stdin.write_all(b"y\n").unwrap();
        }
        // The terminal shows it once it has it.
        if printed.ends_with(b"ready\r\ny\r\n") {
            std::fs::write(home.path().join("go"), "").unwrap();
        }
        if printed.ends_with(b"[y/N] ") {
            stdin.write_all(b"n\n").unwrap();
        }
    }
    let printed = String::from_utf8(printed).unwrap();
    wait(&mut child);
    assert!(printed.contains("nothing was deleted"), "{printed}");
    assert!(printed.contains("status 1"), "{printed}");
    home.run(["secret", "reveal", "my-secret", "--yes"])
        .succeeded();
}

#[test]
fn a_value_is_shown_on_a_terminal_where_somebody_can_answer_or_said_yes() {
    let home = Home::new();
    home.create_secret("shown", "of-no-worth");
    for (reveal, shows, status) in [
        ("echo y | \"$LEYDEN\" secret reveal shown", false, 2),
        ("\"$LEYDEN\" secret reveal shown --yes < /dev/null", true, 0),
    ] {
        let told = run(&mut home.on_terminal(reveal), b"").ended_with(status);
        assert_eq!(told.stdout.contains("of-no-worth"), shows, "{told:?}");
        assert_eq!(told.stdout.contains("say --yes"), status == 2, "{told:?}");
    }
}
