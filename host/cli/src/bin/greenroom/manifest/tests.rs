//! Reading manifests.
//!
//! Owns: what is read from a good one, and the rules that are hard to see in a message. Must not
//! know: how mistakes look, which the tests of the program show.

use super::*;

const MANUAL: &str = include_str!("../../../../../../docs/manifest.md");

fn parse(text: &str) -> Result<Manifest, CliError> {
    let variables = |name: &str| (name == "HOME").then(|| "/home/ada".to_owned());
    let source = Source { path: FILE.into(), text: text.to_owned() };
    Manifest::parse(source, PathBuf::from("/app"), &variables)
}

#[test]
fn the_manuals_example_is_read_as_it_says() {
    let (_, rest) = MANUAL.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("it ends");
    let manifest = parse(example).expect("the example is right");
    assert_eq!(manifest.name.expect("a name").value, "shop");
    assert_eq!(manifest.main.expect("a main").value, "shop");
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(manifest.args, [pair("vals", "[1,2,3]"), pair("leaves", "2")]);
    assert_eq!(manifest.timeout, Some(Duration::from_secs(300)));
    assert_eq!(manifest.log, Some(Level::Info));
    let modules: Vec<_> =
        manifest.modules.iter().map(|m| (m.name.value.as_str(), &m.from.value, m.isolation)).collect();
    assert_eq!(
        modules,
        [
            ("shop", &From::Crate("/app/.".into()), None),
            ("math", &From::Component("/app/vendor/math.wasm".into()), Some(Isolation::Task)),
        ]
    );
    let dirs: Vec<_> = manifest.dirs.into_iter().map(|dir| dir.value).collect();
    assert_eq!(
        dirs,
        [
            DirArg { host: "/app/data".into(), guest: "/data".into(), writable: false },
            DirArg { host: "/home/ada/uploads".into(), guest: "/uploads".into(), writable: true },
        ]
    );
    assert_eq!(manifest.env, [pair("LANG", "C"), pair("PRICE", "$5")]);
    assert_eq!(manifest.component_args, ["--verbose"]);
    let network = ["api.example.com:443", "10.0.0.0/8:*"].map(|text| text.parse().expect("a pattern"));
    let rights = Rights { spawn: true, discover: true, network: network.to_vec(), ..Rights::default() };
    assert_eq!(manifest.rights, rights);
    let limits = Limits { children: 16, depth: 4, actors: 64, tasks: 256, ..Limits::default() };
    let limits = Limits {
        spawn: Duration::from_secs(5),
        start: Duration::from_secs(2),
        grace: Duration::from_millis(200),
        ..limits
    };
    assert_eq!(manifest.limits, limits);
}

#[test]
fn the_manual_lists_every_limit_with_its_bounds() {
    let (_, manual) = MANUAL.split_once("## `[limits]`").expect("they have a section");
    for limit in Limit::ALL.iter().copied() {
        let row = manual.lines().find(|line| line.starts_with(&format!("| `{}` |", limit.name())));
        let row = row.unwrap_or_else(|| panic!("{} is not in the manual", limit.name()));
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let range = format!("from {} to {}", cells[3], cells[4]);
        let expected = limits::expected(limit);
        assert!(expected.contains(&range), "{expected}: {row}");
        assert_eq!(cells[5], limits::shown(limit, limit.default()), "{row}");
        let (first, rest) = limit.doc().trim().split_at(1);
        assert_eq!(cells[6], format!("{}{}", first.to_lowercase(), rest.trim_end_matches('.')), "{row}");
    }
}

#[test]
fn the_manual_tells_what_becomes_of_each_limit() {
    let page = include_str!("../../../../../../docs/limits.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.collect::<Vec<_>>(), limits::names(), "in the order of the table");
}

#[test]
fn arguments_are_read_as_on_the_command_line() {
    let text = "app.args = { a = 1, b = -2.5, c = true, d = [\"x\", 0x10], e = { f = \"${HOME}\" }, \
                g = \"text\", h = \"12\" }\nmodules.m.component = \"m.wasm\"";
    let manifest = parse(text).expect("it is right");
    let args: Vec<(&str, &str)> = manifest.args.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        args,
        [
            ("a", "1"),
            ("b", "-2.5"),
            ("c", "true"),
            ("d", "[\"x\",16]"),
            ("e", "{\"f\":\"/home/ada\"}"),
            ("g", "text"),
            ("h", "12"),
        ]
    );
}

#[test]
fn whatever_is_cut_short_or_damaged_is_refused_or_read_but_never_breaks_the_reader() {
    let (_, rest) = MANUAL.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("it ends");
    for end in (0..example.len()).filter(|end| example.is_char_boundary(*end)) {
        drop(parse(&example[..end]));
        let mut damaged = example.as_bytes().to_vec();
        damaged[end] = b'[';
        drop(parse(&String::from_utf8_lossy(&damaged)));
        damaged[end] = b'"';
        drop(parse(&String::from_utf8_lossy(&damaged)));
    }
}
