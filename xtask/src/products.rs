//! What cargo has built, by its own account.
//!
//! Owns: asking cargo for it. Must not know: what it is for. Invariant: a path is what this very
//! build has made, never what an earlier one left.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::guests::say;
use crate::host::{cargo, quoted};
use crate::workspace::root;

/// An executable file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Product {
    /// The target it is made of.
    pub(crate) name: String,
    /// What cargo calls its sort: `bin`, `lib`, `test`, `example`.
    pub(crate) kind: String,
    /// Whether it runs the tests in that target.
    pub(crate) tests: bool,
    /// Where it is.
    pub(crate) path: PathBuf,
}

/// Runs cargo with arguments that build, and gives the executables.
///
/// # Errors
/// When cargo fails; it has said why.
pub(crate) fn build(arguments: &[&str], environment: &[(&str, PathBuf)]) -> anyhow::Result<Vec<Product>> {
    let shown: Vec<_> = arguments.iter().map(|word| quoted(word)).collect();
    let shown = format!("cargo {}", shown.join(" "));
    say(&format!("$ {shown}"));
    let output = Command::new(cargo())
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {shown}"))?;
    ensure!(output.status.success(), "{shown}: {}", output.status);
    products(&String::from_utf8_lossy(&output.stdout))
}

/// The one product of a name and kind.
///
/// # Errors
/// When there is none.
pub(crate) fn find<'a>(
    products: &'a [Product],
    kind: &str,
    name: &str,
    tests: bool,
) -> anyhow::Result<&'a Product> {
    let is_it = |product: &&Product| (&*product.kind, &*product.name, product.tests) == (kind, name, tests);
    products.iter().find(is_it).with_context(|| format!("cargo has built no {kind} `{name}`"))
}

fn products(messages: &str) -> anyhow::Result<Vec<Product>> {
    let mut found = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Value = serde_json::from_str(line).context("cargo says what is no JSON")?;
        let (target, tests) = (&message["target"], message["profile"]["test"].as_bool());
        let (Some(path), Some(name)) = (message["executable"].as_str(), target["name"].as_str()) else {
            continue;
        };
        let kind = target["kind"][0].as_str().unwrap_or_default();
        let tests = tests.unwrap_or_default();
        found.push(Product { name: name.to_owned(), kind: kind.to_owned(), tests, path: path.into() });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_told_from_all_else() {
        let messages = r#"
{"reason":"build-script-executed","package_id":"x"}
{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"a"},"profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"a"},"profile":{"test":true},"executable":"/t/a-1"}
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"b"},"profile":{"test":false},"executable":"/t/b"}
{"reason":"build-finished","success":true}"#;
        let found = products(messages).expect("it is what cargo writes");
        assert_eq!(found.len(), 2);
        let path = |kind, name, tests| find(&found, kind, name, tests).map(|one| one.path.clone()).ok();
        assert_eq!(path("lib", "a", true), Some("/t/a-1".into()));
        assert_eq!(path("bin", "b", false), Some("/t/b".into()));
        assert_eq!(path("bin", "b", true), None);
        products("{").expect_err("half a line");
    }
}
