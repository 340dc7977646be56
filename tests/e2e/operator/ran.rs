//! A program that ran to its end, and what it said.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use adtally_tests::programs;

/// Stands for every password: it must never be seen again.
pub(super) const SECRET: &str = "hunter2";

/// Nothing listens there, on any machine that has not gone back to 1983.
pub(super) const NOBODY: &str = "127.0.0.1:1";

/// Longer than any program may take to give up, so that one that does not is told apart.
const PATIENCE: Duration = Duration::from_secs(40);

/// How long a command may take to give up, and what a busy machine adds.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(10);
const BUSY: Duration = Duration::from_secs(5);

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
    pub(super) took: Duration,
    #[expect(dead_code, reason = "it shows when an assertion fails")]
    called: String,
}

/// Runs `program` with `args` and nothing of ours in its environment but `variables`.
pub(super) fn run(program: &str, args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(programs::path(program));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ADTALLY_")) {
        command.env_remove(name);
    }
    command.env_remove("RUST_LOG").args(args);
    command.envs(variables.iter().copied());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let started = Instant::now();
    let mut child = command.spawn().expect("the program starts");
    let out = reader(child.stdout.take().expect("a pipe"));
    let err = reader(child.stderr.take().expect("a pipe"));
    let mut code = None;
    while started.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().expect("a child") {
            code = Some(status.code().unwrap_or(-1));
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let took = started.elapsed();
    // One that has ended cannot be killed any more, which is as good.
    let _ = child.kill();
    let _ = child.wait();
    Ran {
        code,
        out: out.join().expect("its output"),
        err: err.join().expect("its output"),
        took,
        called: format!("{program} {} {variables:?}", args.join(" ")),
    }
}

fn reader(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("its output");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Ran {
    /// The program gave up with `code` and one line that says all of `words`.
    #[track_caller]
    pub(super) fn gave_up(&self, code: i32, words: &[&str]) {
        self.ended(code, words);
        let lines: Vec<_> = self.err.lines().collect();
        assert!(lines.len() == 1, "not one line: {self:#?}");
        assert!(
            self.out.is_empty(),
            "an error on standard output: {self:#?}"
        );
    }

    /// The program ended with `code`, and its last word was one error that says all of `words`.
    #[track_caller]
    pub(super) fn ended(&self, code: i32, words: &[&str]) {
        self.is_decent();
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(self.took < GIVES_UP_WITHIN + BUSY, "too late: {self:#?}");
        let last = self.err.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: "), "{self:#?}");
        let told = self.err.lines().filter(|line| line.starts_with("error: "));
        assert_eq!(told.count(), 1, "{self:#?}");
        for word in words {
            assert!(last.contains(word), "{word:?} is missing: {self:#?}");
        }
    }

    /// The command line made no sense, and the program says what of it.
    #[track_caller]
    pub(super) fn made_no_sense(&self, words: &[&str]) {
        self.is_decent();
        assert_eq!(self.code, Some(2), "{self:#?}");
        assert!(self.err.starts_with("error: "), "{self:#?}");
        for word in words {
            assert!(self.err.contains(word), "{word:?} is missing: {self:#?}");
        }
    }

    /// No panic, no secret, nothing but text.
    #[track_caller]
    fn is_decent(&self) {
        for text in [&self.out, &self.err] {
            for indecent in [
                "panicked",
                "RUST_BACKTRACE",
                "stack backtrace",
                SECRET,
                "\u{1b}[",
            ] {
                assert!(!text.contains(indecent), "{indecent:?} shows: {self:#?}");
            }
        }
    }
}
