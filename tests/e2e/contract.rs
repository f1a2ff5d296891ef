//! That `docs/semantics.md` tells the truth about where its clauses are tested, and that the sweep
//! after each test would find what is left.
//!
//! Owns: the comparison of its table with the sources. Must not know: what clauses mean.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use greenroom_tests::{Descriptors, alone, repository, sweep_process};

/// Where tests are written.
const SOURCES: &[&str] = &["tests", "host", "guest-sdk"];

/// The clauses that are promised now.
fn promised() -> BTreeSet<String> {
    let group = |letter: char, numbers: &[u32]| {
        numbers.iter().map(|number| format!("{letter}{number}")).collect::<Vec<_>>()
    };
    let mut all = group('A', &[1, 2, 3, 4, 5, 6]);
    all.extend(group('B', &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
    all.extend(group('C', &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]));
    all.extend(group('D', &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
    all.extend(group('E', &[1, 2, 3, 4, 5]));
    all.extend(group('F', &[1, 2, 3]));
    all.into_iter().collect()
}

/// The rows `| clause | test |` of the page, without backticks.
fn rows() -> Vec<(String, String)> {
    let page = fs::read_to_string(repository().join("docs/semantics.md")).expect("the page");
    let cells = |line: &str| {
        let cells: Vec<String> = line.split('|').map(|cell| cell.trim().replace('`', "")).collect();
        match cells.as_slice() {
            [_, clause, tests, _] => Some((clause.clone(), tests.clone())),
            _ => None,
        }
    };
    let is_clause = |clause: &str| {
        let number = clause.strip_prefix(|letter: char| letter.is_ascii_uppercase());
        number.is_some_and(|number| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()))
    };
    let rows = page.lines().filter_map(cells).filter(|(clause, _)| is_clause(clause));
    let each = rows.flat_map(|(clause, tests)| {
        let tests: Vec<String> =
            tests.split([',', ' ']).filter(|test| !test.is_empty()).map(str::to_owned).collect();
        tests.into_iter().map(move |test| (clause.clone(), test))
    });
    each.collect()
}

fn sources(folder: PathBuf, found: &mut String) {
    for entry in fs::read_dir(&folder).expect("a folder of sources") {
        let path = entry.expect("an entry of it").path();
        if path.is_dir() {
            sources(path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&fs::read_to_string(path).expect("a source"));
        }
    }
}

#[test]
fn every_test_that_the_page_names_exists() {
    let mut text = String::new();
    for folder in SOURCES {
        sources(repository().join(folder), &mut text);
    }
    let missing: Vec<_> =
        rows().into_iter().filter(|(_, test)| !text.contains(&format!("fn {test}("))).collect();
    assert!(missing.is_empty(), "docs/semantics.md names tests that do not exist: {missing:?}");
}

#[test]
fn every_clause_has_a_test() {
    let tested: BTreeSet<String> = rows().into_iter().map(|(clause, _)| clause).collect();
    let without: Vec<_> = promised().difference(&tested).cloned().collect();
    assert!(without.is_empty(), "docs/semantics.md names no test for {without:?}");
}

#[test]
fn the_sweep_finds_what_is_left() {
    alone(async |place| {
        let (tree, before) = (place.tree(), Descriptors::open());
        let complaint = || {
            let swept = catch_unwind(AssertUnwindSafe(|| sweep_process(&tree, &before, false)));
            swept.err().and_then(|panic| panic.downcast::<String>().ok()).map(|text| *text)
        };
        let finds = |what: &str| assert!(complaint().is_some_and(|text| text.contains(what)), "{what}");
        assert_eq!(complaint(), None);

        let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().expect("`cat` starts");
        finds("no process of the test is left");
        drop(cat.stdin.take());
        finds("no zombie is left");
        cat.wait().expect("it has ended");
        assert_eq!(complaint(), None);

        let file = fs::File::open("/dev/null").expect("it opens");
        finds("are again");
        drop(file);
        assert_eq!(complaint(), None);
    });
}
