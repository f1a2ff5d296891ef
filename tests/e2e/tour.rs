//! The README's tour, taken line by line.
//!
//! Owns: reading the page, typing its commands, and comparing what is shown. Must not know: what any
//! command does. Invariant: a command is never skipped for failing.
//!
//! Every `sh` block of the page is typed into one shell, in order, in a folder where a reader would
//! stand: at the top of a copy of the repository, after a build. What a block shows is in the block
//! without a language that follows it: `...` alone stands for any lines, `[..]` for any text within
//! one. A block whose output begins with `error` ends with a failure; every other line must succeed.
//! A line that ends with `&` is for another terminal, and goes on until the end of the tour.
//! Commands of `cargo xtask` build and test this repository: they are not for a test to run. The
//! Rust block is a guest crate, and is built and run as one.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use greenroom_tests::{Place, alone_for, program, repository, until_now};

/// How long one line of the tour may take, the building of guests included.
const LINE: Duration = Duration::from_secs(420);

/// How long all of it may take.
const TOUR: Duration = Duration::from_secs(900);

/// What begins the line with a command's exit status.
const STATUS: &str = "tour: the status is ";

/// The shell's variable that holds the processes of other terminals: not every shell lists its jobs to
/// a script.
const JOBS: &str = "tour_jobs";

/// A block of the page: its language, and its lines.
#[derive(Debug, PartialEq)]
struct Block {
    language: String,
    /// Where its first line is in the page.
    place: usize,
    lines: Vec<String>,
    /// Whether nothing but blank lines is between it and the block before.
    follows: bool,
}

/// The blocks of a page, in order.
fn blocks(page: &str) -> Vec<Block> {
    let (mut found, mut open, mut follows): (Vec<Block>, Option<Block>, bool) = Default::default();
    for (number, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => {
                found.extend(open.take());
                follows = true;
            }
            (Some(block), None) => block.lines.push(line.to_owned()),
            (None, Some(language)) => {
                let (language, place) = (language.to_owned(), number + 2);
                open = Some(Block { language, place, lines: Vec::new(), follows });
            }
            (None, None) => follows &= line.trim().is_empty(),
        }
    }
    assert!(open.is_none(), "a block of the page does not end");
    found
}

/// The commands of a block: a line each, or several where all but the last end with a backslash.
fn commands(block: &Block) -> Vec<String> {
    let text = block.lines.join("\n").replace("\\\n", " ");
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Whether a command is one of this repository's own chores.
fn is_chore(command: &str) -> bool {
    command.starts_with("cargo xtask ")
}

/// Whether what was shown is what the page shows.
fn matches(expected: &[String], shown: &[&str]) -> bool {
    match expected {
        [] => shown.is_empty(),
        [any, rest @ ..] if any.trim() == "..." => {
            (0..=shown.len()).any(|skipped| matches(rest, &shown[skipped..]))
        }
        [line, rest @ ..] => {
            shown.first().is_some_and(|first| line_matches(line, first)) && matches(rest, &shown[1..])
        }
    }
}

fn line_matches(expected: &str, shown: &str) -> bool {
    let (expected, shown) = (expected.trim_end(), shown.trim_end());
    let Some((before, after)) = expected.split_once("[..]") else { return expected == shown };
    let Some(shown) = shown.strip_prefix(before) else { return false };
    let mut ends = shown.char_indices().map(|(end, _)| end).chain([shown.len()]);
    ends.any(|end| line_matches(after, &shown[end..]))
}

/// One shell, as a person at a terminal has it.
struct Shell {
    child: Child,
    input: File,
    output: PathBuf,
    /// How much of the output has been read.
    read: usize,
    others: PathBuf,
}

impl Shell {
    fn open(place: &Place, folder: &Path) -> Self {
        let file = |name: &str| place.folder().join(name);
        let (input, output, others) = (file("typed"), file("shown"), file("others"));
        let (runtime, temporary) = (file("runtime"), file("temporary"));
        for made in [&runtime, &temporary] {
            fs::create_dir(made).expect("a folder for what runs, and one for what the tour makes");
        }
        let fifo = rustix::fs::CWD;
        rustix::fs::mkfifoat(fifo, &input, rustix::fs::Mode::RWXU).expect("a pipe with a name");
        let shown = File::create(&output).expect("a file for what is shown");
        // For both, so that neither opening waits for the other.
        let both = OpenOptions::new().read(true).write(true).open(&input).expect("it opens");
        let child = Command::new("sh")
            .current_dir(folder)
            .env("CARGO_TARGET_DIR", cache())
            .env("CARGO_NET_OFFLINE", "true")
            .env("XDG_RUNTIME_DIR", runtime)
            .env("TMPDIR", temporary)
            .stdin(File::open(&input).expect("it opens"))
            .stdout(shown.try_clone().expect("a second handle"))
            .stderr(shown)
            .spawn()
            .expect("there is a shell");
        Self { child, input: both, output, read: 0, others }
    }

    /// Types a command; gives what it has shown, and its status.
    fn run(&mut self, command: &str) -> (String, i32) {
        let typed = match command.strip_suffix('&') {
            Some(other) => format!(
                "exec {other} >>'{}' 2>&1 </dev/null &\n{JOBS}=\"${JOBS} $!\"\n",
                self.others.display()
            ),
            // The shell's own input is the tour.
            None => format!("{{ {command}\n}} </dev/null\n"),
        };
        let typed = format!("{typed}printf '\\n{STATUS}%s\\n' \"$?\"\n");
        self.input.write_all(typed.as_bytes()).expect("the shell listens");
        let (shown, status) = until_now(&format!("the end of `{command}`"), LINE, || {
            let shown = fs::read_to_string(&self.output).ok()?;
            let (shown, status) = shown[self.read..].split_once(&format!("\n{STATUS}"))?;
            Some((shown.to_owned(), status.strip_suffix('\n')?.parse().ok()?))
        });
        self.read = fs::read_to_string(&self.output).expect("what was shown").len();
        (shown, status)
    }

    /// Ends what goes on in other terminals, and closes the shell.
    fn close(mut self) -> String {
        self.run(&format!("for job in ${JOBS}; do kill \"$job\" 2>/dev/null; done; wait"));
        self.input.write_all(b"exit\n").expect("the shell listens");
        until_now("the shell ends", LINE, || self.child.try_wait().expect("it is this process's child"));
        fs::read_to_string(&self.others).unwrap_or_default()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the tour's own crates are compiled, once for all tours.
fn cache() -> PathBuf {
    repository().join("target/tmp/tour")
}

/// A folder that looks like the top of the repository after a build.
fn stand(place: &Place) -> PathBuf {
    let folder = place.folder().join("greenroom");
    fs::create_dir_all(folder.join("target/release")).expect("a folder");
    symlink(program(), folder.join("target/release/greenroom")).expect("the program");
    symlink(repository().join("target/guests"), folder.join("target/guests")).expect("the guests");
    symlink(repository().join("docs"), folder.join("docs")).expect("the docs");
    folder
}

/// Builds the page's Rust as a guest crate beside the repository, and runs it.
fn written(place: &Place, shell: &mut Shell, code: &Block) {
    let folder = place.folder().join("written");
    fs::create_dir_all(folder.join("src")).expect("a folder");
    fs::write(folder.join("src/lib.rs"), code.lines.join("\n")).expect("a source");
    let sdk = repository().join("guest-sdk");
    let manifest = format!(
        "[package]\nname = \"written\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\ngreenroom-guest = {{ path = {sdk:?} }}\n\n[workspace]\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest).expect("a manifest");
    fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock")).expect("the versions in use");
    let (program, folder) = (program(), folder.display());
    let (shown, status) = shell.run(&format!("{} build '{folder}' --out '{folder}'", program.display()));
    assert_eq!(status, 0, "README.md:{}: it does not compile:\n{shown}", code.place);
    let run = format!("{} run --allow spawn '{folder}/written.wasm' x=12", program.display());
    let (shown, status) = shell.run(&run);
    assert_eq!((shown.trim(), status), ("144", 0), "README.md:{}", code.place);
}

#[test]
fn a_reader_of_the_readme_sees_what_it_shows() {
    alone_for(TOUR, async |place| {
        let page = fs::read_to_string(repository().join("README.md")).expect("the page");
        let blocks = blocks(&page);
        let mut shell = Shell::open(place, &stand(place));
        let mut typed = 0;
        for (number, block) in blocks.iter().enumerate() {
            match block.language.as_str() {
                "sh" => {}
                "rust" => {
                    written(place, &mut shell, block);
                    continue;
                }
                "" => {
                    assert!(block.follows, "README.md:{}: an output of nothing", block.place);
                    continue;
                }
                other => panic!("README.md:{}: what is `{other}` in a tour?", block.place),
            }
            let expected = blocks.get(number + 1).filter(|next| next.language.is_empty());
            let fails = expected.is_some_and(|next| next.lines[0].starts_with("error"));
            let mut shown = String::new();
            for command in commands(block).iter().filter(|command| !is_chore(command)) {
                let (more, status) = shell.run(command);
                typed += 1;
                assert_eq!(status != 0, fails, "README.md:{}: `{command}`: {status}\n{more}", block.place);
                shown.push_str(&more);
                shown.push('\n');
            }
            let Some(expected) = expected else { continue };
            let lines: Vec<&str> = shown.lines().filter(|line| !line.trim().is_empty()).collect();
            let wanted: Vec<String> =
                expected.lines.iter().filter(|line| !line.trim().is_empty()).cloned().collect();
            assert!(
                matches(&wanted, &lines),
                "README.md:{}: it shows\n{}\nand not\n{shown}",
                expected.place,
                expected.lines.join("\n")
            );
        }
        let others = shell.close();
        assert!(typed >= 8, "the tour has lost its commands: {typed} are left");
        assert!(!others.contains("error"), "in the other terminals:\n{others}");
    });
}

#[test]
fn a_page_is_read_as_a_person_reads_it() {
    let page = "# T\n```sh\na 1   # first\nb \\\n  2 &\n```\n\n```\nx\n```\ntext\n```rust\nfn\n```\n";
    let read = blocks(page);
    let seen: Vec<_> = read.iter().map(|block| (&*block.language, block.place, block.follows)).collect();
    assert_eq!(seen, [("sh", 3, false), ("", 9, true), ("rust", 13, false)]);
    assert_eq!(commands(&read[0]), ["a 1   # first", "b    2 &"]);
    assert!(is_chore("cargo xtask demo") && !is_chore("greenroom run"));

    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (expected, shown, same) in [
        ("a\nb", "a\nb", true),
        ("a\nb", "a", false),
        ("a", "a\nb", false),
        ("a\n...", "a\nb\nc", true),
        ("...\nc", "a\nb\nc", true),
        ("...\nd", "a\nb\nc", false),
        ("pid [..], up [..] s", "pid 7, up 1.5 s", true),
        ("pid [..], up [..] s", "pid 7, up 1.5 m", false),
        ("[..]", "", true),
        ("a  ", "a", true),
    ] {
        let shown: Vec<&str> = shown.lines().collect();
        let shown = if shown.is_empty() { vec![""] } else { shown };
        assert_eq!(matches(&lines(expected), &shown), same, "{expected:?} and {shown:?}");
    }
}
