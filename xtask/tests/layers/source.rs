//! The repository's Rust files, as words.
//!
//! Owns: finding the files, and which paths their code names, without comments and strings.
//! Must not know: the rules. Invariant: a name that is imported in a group counts like one that
//! is written out.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What tests of the macros refuse: not code of this repository.
const REFUSED: &str = "guest-sdk/tests/ui/";

/// A Rust file.
pub(crate) struct Source {
    /// From the top of the repository.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// How much of a file is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scan {
    Whole,
    /// Without what stands under `#[cfg(test)]`.
    WithoutTests,
}

/// What was seen in a file.
#[derive(Default)]
pub(crate) struct Sight {
    /// Every path in the code, such as `std::time::Instant` or `todo!`, with its line.
    paths: Vec<(usize, String)>,
    pub(crate) unsafe_blocks: usize,
    /// The lines of attributes that have a test ignored.
    pub(crate) ignored: Vec<usize>,
}

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask stands in the repository").to_owned()
}

/// All Rust files of the repository.
pub(crate) fn all() -> Vec<Source> {
    below("")
}

/// The Rust files of a folder.
pub(crate) fn below(folder: &str) -> Vec<Source> {
    let (root, mut sources) = (root(), Vec::new());
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("can be read").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).expect("is text");
                let path = path.strip_prefix(&root).expect("is below").to_string_lossy().into_owned();
                sources.push(Source { path, text });
            }
        }
    }
    sources.retain(|source| !source.path.starts_with(REFUSED));
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources
}

impl Source {
    /// Whether the whole file is a test.
    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    pub(crate) fn scan(&self, how: Scan) -> Sight {
        let tokens: TokenStream =
            self.text.parse().unwrap_or_else(|error| panic!("{} is not Rust: {error}", self.path));
        let mut sight = Sight::default();
        sight.read(tokens, "", how);
        sight
    }
}

impl Sight {
    /// The paths that have `word` among them, whole segments only.
    pub(crate) fn naming<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a (usize, String)> {
        let wanted: Vec<_> = word.split("::").collect();
        self.paths.iter().filter(move |(_, path)| {
            let segments: Vec<_> = path.split("::").collect();
            segments.windows(wanted.len()).any(|window| window == wanted)
        })
    }

    fn read(&mut self, tokens: TokenStream, prefix: &str, how: Scan) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Ident(_) => at = self.read_path(&tokens, at, prefix, how),
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    at = self.read_attribute(&tokens, at, how)
                }
                TokenTree::Group(group) => {
                    self.read(group.stream(), "", how);
                    at += 1;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
            }
        }
    }

    /// Reads `a::b::c`, `a::{b, c}` or `a!`; gives the place behind it.
    fn read_path(&mut self, tokens: &[TokenTree], mut at: usize, prefix: &str, how: Scan) -> usize {
        let line = tokens[at].span().start().line;
        let mut path = prefix.to_owned();
        loop {
            path.push_str(&tokens[at].to_string());
            at += 1;
            if !(is(tokens.get(at), ':') && is(tokens.get(at + 1), ':')) {
                break;
            }
            match tokens.get(at + 2) {
                Some(TokenTree::Ident(_)) => {
                    path.push_str("::");
                    at += 2;
                }
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    self.read(group.stream(), &format!("{path}::"), how);
                    at += 3;
                    break;
                }
                _ => break,
            }
        }
        if is(tokens.get(at), '!') && !is(tokens.get(at + 1), '=') {
            path.push('!');
        }
        let block =
            matches!(tokens.get(at), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace);
        self.unsafe_blocks += usize::from(path == "unsafe" && block);
        self.paths.push((line, path));
        at
    }

    /// Reads an attribute, and passes over what it keeps from the build under test.
    fn read_attribute(&mut self, tokens: &[TokenTree], mut at: usize, how: Scan) -> usize {
        let line = tokens[at].span().start().line;
        at += 1 + usize::from(is(tokens.get(at + 1), '!'));
        let Some(TokenTree::Group(group)) = tokens.get(at) else { return at };
        let mut inside = Self::default();
        inside.read(group.stream(), "", Scan::Whole);
        let names = |word| inside.naming(word).next().is_some();
        if names("ignore")
            && (names("cfg_attr") || inside.paths.first().is_some_and(|(_, path)| path == "ignore"))
        {
            self.ignored.push(line);
        }
        at += 1;
        if how == Scan::WithoutTests && group.stream().to_string().replace(' ', "") == "cfg(test)" {
            while at < tokens.len() {
                let last = match &tokens[at] {
                    TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                    token => is(Some(token), ';'),
                };
                at += 1;
                if last {
                    break;
                }
            }
            return at;
        }
        self.paths.append(&mut inside.paths);
        at
    }
}

fn is(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(text: &str, how: Scan) -> Sight {
        Source { path: "x.rs".to_owned(), text: text.to_owned() }.scan(how)
    }

    fn names(text: &str, word: &str) -> bool {
        sight(text, Scan::WithoutTests).naming(word).next().is_some()
    }

    #[test]
    fn sees_names_however_they_are_written() {
        for text in [
            "use std::net::TcpStream;",
            "use std::{fmt, net};",
            "use std::{fmt, net::{TcpStream}};",
            "fn f() { std::net::TcpStream::connect(x); }",
            "fn f() { g(|| std::net::lookup()); }",
        ] {
            assert!(names(text, "std::net"), "{text}");
        }
        assert!(names("fn f() { std::time::Instant::now(); }", "Instant::now"));
        assert!(names("fn f() { todo!(); }", "todo!"));
    }

    #[test]
    fn does_not_see_comments_strings_tests_and_parts_of_words() {
        for text in [
            "//! std::net\nfn f() {}",
            "/// std::net\nfn f() {}",
            "fn f() { g(\"std::net\"); }",
            "#[cfg(test)]\nmod tests { use std::net; }",
            "#[cfg(test)]\nuse std::net;\nfn f() {}",
            "use std::network;",
            "use mystd::net;",
            "fn f() { if std::fmt { net() } }",
        ] {
            assert!(!names(text, "std::net"), "{text}");
        }
        assert!(names("#[cfg(test)]\nmod tests { use std::fmt; }\nuse std::net;", "std::net"));
        assert!(!names("fn f() { a != todo }", "todo!"));
    }

    #[test]
    fn counts_unsafe_blocks_and_ignored_tests() {
        let text =
            "#[test]\n#[ignore = \"slow\"]\nfn f() { unsafe { g() } }\n#[cfg_attr(unix, ignore)]\nfn h() {}";
        let sight = sight(text, Scan::Whole);
        assert_eq!((sight.unsafe_blocks, sight.ignored), (1, vec![2, 4]));
    }
}
