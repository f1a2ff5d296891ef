//! `greenroom.toml`: what an application consists of, in a file.
//!
//! Owns: finding and reading it. Must not know: what is done with it; whether the files it names
//! are there. Invariant: a manifest that was read has no mistake that can be seen without looking
//! at another file.

mod reader;
mod variables;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use greenroom::{Isolation, Limit, Limits, Pattern, Rights};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(crate) use reader::{Placed, suggest};

use crate::args::Level;
use crate::error::CliError;
use crate::grants::{DirArg, ISOLATIONS};
use crate::limits;
use crate::manifest::reader::{Node, Reader};
use crate::mistakes::{Mistake, Mistakes, Source};

/// The file's name.
pub(crate) const FILE: &str = "greenroom.toml";

/// Where a module comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// A component.
    Component(PathBuf),
    /// The folder of a guest crate.
    Crate(PathBuf),
}

impl From {
    /// The file or folder.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Component(path) | Self::Crate(path) => path,
        }
    }
}

/// A module of the manifest.
#[derive(Clone, Debug)]
pub(crate) struct ModuleEntry {
    pub(crate) name: Placed<String>,
    pub(crate) from: Placed<From>,
    pub(crate) isolation: Option<Isolation>,
}

/// A manifest without mistakes of its own.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) source: Arc<Source>,
    /// The folder it is in; what it names is relative to it.
    pub(crate) folder: PathBuf,
    pub(crate) name: Option<Placed<String>>,
    pub(crate) main: Option<Placed<String>>,
    /// Keyword arguments of `main`, as on the command line.
    pub(crate) args: Vec<(String, String)>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) log: Option<Level>,
    pub(crate) modules: Vec<ModuleEntry>,
    pub(crate) dirs: Vec<Placed<DirArg>>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) component_args: Vec<String>,
    pub(crate) rights: Rights,
    pub(crate) limits: Limits,
}

impl Manifest {
    /// The manifest in this folder, or in the nearest folder above it that has one.
    pub(crate) fn find() -> Option<PathBuf> {
        let here = std::env::current_dir().ok()?;
        let folder = here.ancestors().find(|folder| folder.join(FILE).is_file())?;
        // What is here needs no long name.
        if folder == here { Some(FILE.into()) } else { Some(folder.join(FILE)) }
    }

    /// Reads one.
    ///
    /// # Errors
    /// All mistakes that can be seen without looking at another file.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        let path = path.strip_prefix(".").unwrap_or(path).to_owned();
        let bytes = std::fs::read(&path)
            .map_err(|error| CliError::input(format!("cannot read `{}`: {error}", path.display())))?;
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => return Err(not_text(path, error)),
        };
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Self::parse(Source { path, text }, folder, &|name| std::env::var(name).ok())
    }

    /// Reads the text of one.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn parse(
        source: Source,
        folder: PathBuf,
        variables: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, CliError> {
        let source = Arc::new(source);
        let mut mistakes = Mistakes::none(source.clone());
        let (document, errors) = DeTable::parse_recoverable(&source.text);
        for error in errors {
            let place = error.span().unwrap_or(0..0);
            mistakes.add(Mistake::error(place, format!("this is not TOML: {}", error.message())));
        }
        // What is read from a text that is not TOML is guesswork, and so are mistakes found in it.
        mistakes.clone().settle()?;
        let end = document.span();
        let document = Spanned::new(end, DeValue::Table(document.into_inner()));
        let mut reader = Reader { text: &source.text, variables, mistakes };
        let manifest = read(&mut reader, &document, &source, folder);
        reader.mistakes.settle()?;
        Ok(manifest)
    }
}

fn not_text(path: PathBuf, error: std::string::FromUtf8Error) -> CliError {
    let start = error.utf8_error().valid_up_to();
    let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
    let source = Arc::new(Source { path, text });
    let mut mistakes = Mistakes::none(source);
    let mistake = Mistake::error(start..start + '\u{fffd}'.len_utf8(), "this is not UTF-8 text");
    mistakes.add(mistake.label("a byte that is part of no character").help("save the file as UTF-8"));
    match mistakes.settle() {
        Err(error) => error,
        Ok(()) => CliError::input("this is not UTF-8 text"),
    }
}

fn read<'a>(
    reader: &mut Reader<'a>,
    document: &'a Node<'a>,
    source: &Arc<Source>,
    folder: PathBuf,
) -> Manifest {
    let mut manifest = Manifest {
        source: source.clone(),
        folder,
        name: None,
        main: None,
        args: Vec::new(),
        timeout: None,
        log: None,
        modules: Vec::new(),
        dirs: Vec::new(),
        env: Vec::new(),
        component_args: Vec::new(),
        rights: Rights::default(),
        limits: Limits::default(),
    };
    for entry in reader.known("", document, &["app", "modules", "grants", "limits"]) {
        match entry.key {
            "app" => app(reader, entry.value, &mut manifest),
            "modules" => modules(reader, entry.value, &mut manifest),
            "grants" => grants(reader, entry.value, &mut manifest),
            _ => read_limits(reader, entry.value, &mut manifest),
        }
    }
    if manifest.modules.is_empty() && reader.mistakes.errors() == 0 {
        let help = "add one:\n[modules.app]\ncomponent = \"app.wasm\"";
        reader.wrong(Mistake::error(0..0, "there is no module").help(help));
    }
    if let Some(main) = &manifest.main {
        let names: Vec<&str> = manifest.modules.iter().map(|module| module.name.value.as_str()).collect();
        if !names.iter().any(|name| same(name, &main.value)) && !names.is_empty() {
            let message = format!("`app.main`: there is no module `{}`", main.value);
            let mistake = Mistake::error(main.place.clone(), message).label("expected a module's name");
            reader.wrong(mistake.help(suggest(&main.value, &names)));
        }
    }
    manifest
}

fn app<'a>(reader: &mut Reader<'a>, node: &'a Node<'a>, manifest: &mut Manifest) {
    for entry in reader.known("app", node, &["name", "main", "args", "timeout", "log"]) {
        let path = format!("app.{}", entry.key);
        match entry.key {
            "name" => manifest.name = name(reader, &path, entry.value),
            "main" => manifest.main = reader.text(&path, entry.value),
            "timeout" => manifest.timeout = duration(reader, &path, entry.value),
            "log" => manifest.log = reader.word(&path, entry.value, Level::WORDS),
            _ => {
                for argument in reader.table(&path, entry.value) {
                    let path = format!("{path}.{}", argument.key);
                    let text = match reader.json(&path, argument.value) {
                        serde_json::Value::String(text) => text,
                        other => other.to_string(),
                    };
                    manifest.args.push((argument.key.to_owned(), text));
                }
            }
        }
    }
}

fn modules<'a>(reader: &mut Reader<'a>, node: &'a Node<'a>, manifest: &mut Manifest) {
    for entry in reader.table("modules", node) {
        let path = format!("modules.{}", entry.key);
        if let Err(rule) = crate::grants::check_module_name(entry.key) {
            reader.wrong(Mistake::error(entry.place.clone(), format!("`{}`: {rule}", entry.key)));
        }
        let twin = manifest.modules.iter().find(|known| same(&known.name.value, entry.key));
        if let Some(twin) = twin {
            let message = format!("two modules of one name: `{}` and `{}`", twin.name.value, entry.key);
            let mistake = Mistake::error(entry.place.clone(), message);
            reader.wrong(mistake.label("`_` and `-` are the same to callers").help("rename one of them"));
        }
        if let Some((from, isolation)) = module(reader, &path, &entry, &manifest.folder) {
            let name = Placed { value: entry.key.to_owned(), place: entry.place };
            manifest.modules.push(ModuleEntry { name, from, isolation });
        }
    }
}

fn module<'a>(
    reader: &mut Reader<'a>,
    path: &str,
    entry: &reader::Entry<'a>,
    folder: &Path,
) -> Option<(Placed<From>, Option<Isolation>)> {
    let before = reader.mistakes.errors();
    let (mut component, mut krate, mut isolation) = (None, None, None);
    for entry in reader.known(path, entry.value, &["component", "crate", "isolation"]) {
        let path = format!("{path}.{}", entry.key);
        match entry.key {
            "component" => component = reader.text(&path, entry.value),
            "crate" => krate = reader.text(&path, entry.value),
            _ => isolation = reader.word(&path, entry.value, ISOLATIONS),
        }
    }
    let from = |text: Placed<String>, kind: fn(PathBuf) -> From| {
        Some(Placed { value: kind(folder.join(text.value)), place: text.place })
    };
    let from = match (component, krate) {
        (Some(component), None) => from(component, From::Component),
        (None, Some(krate)) => from(krate, From::Crate),
        (Some(_), Some(krate)) => {
            let message = format!("`{path}` has both a `component` and a `crate`");
            reader.wrong(Mistake::error(krate.place, message).help("keep one of them"));
            None
        }
        // What is there and wrong has been told.
        (None, None) if reader.mistakes.errors() > before => None,
        (None, None) => {
            let message = format!("`{path}` says neither its `component` nor its `crate`");
            let help = "add `component = \"FILE.wasm\"`, or `crate = \"FOLDER\"` of a guest crate";
            reader.wrong(Mistake::error(entry.place.clone(), message).help(help));
            None
        }
    };
    Some((from?, isolation))
}

fn grants<'a>(reader: &mut Reader<'a>, node: &'a Node<'a>, manifest: &mut Manifest) {
    let known: Vec<&str> = ["dirs", "env", "args", "network"].into_iter().chain(Rights::names()).collect();
    for entry in reader.known("grants", node, &known) {
        let path = format!("grants.{}", entry.key);
        if let Some(right) = manifest.rights.named(entry.key) {
            *right = reader.flag(&path, entry.value).unwrap_or_default();
            continue;
        }
        match entry.key {
            "args" => {
                for (number, item) in reader.list(&path, entry.value).iter().enumerate() {
                    let text = reader.text(&format!("{path}[{number}]"), item);
                    manifest.component_args.extend(text.map(|text| text.value));
                }
            }
            "network" => {
                for (number, item) in reader.list(&path, entry.value).iter().enumerate() {
                    let hosts = pattern(reader, &format!("{path}[{number}]"), item);
                    manifest.rights.network.extend(hosts);
                }
            }
            "dirs" => {
                for (number, item) in reader.list(&path, entry.value).iter().enumerate() {
                    let path = format!("{path}[{number}]");
                    let Some(dir) = dir(reader, &path, item, &manifest.folder) else { continue };
                    if manifest.dirs.iter().any(|known| known.value.guest == dir.value.guest) {
                        let message = format!("`{path}`: guest path `{}` is given twice", dir.value.guest);
                        reader.wrong(Mistake::error(dir.place.clone(), message));
                    }
                    manifest.dirs.push(dir);
                }
            }
            _ => {
                for variable in reader.table(&path, entry.value) {
                    let path = format!("{path}.{}", variable.key);
                    if let Err(rule) = crate::grants::check_variable_name(variable.key) {
                        reader.wrong(Mistake::error(variable.place.clone(), format!("`{path}`: {rule}")));
                    }
                    if let Some(text) = reader.text(&path, variable.value) {
                        manifest.env.push((variable.key.to_owned(), text.value));
                    }
                }
            }
        }
    }
}

fn pattern(reader: &mut Reader<'_>, path: &str, node: &Node<'_>) -> Option<Pattern> {
    const EXPECTED: &str = "HOST:PORT, such as \"example.com:443\" or \"10.0.0.0/8:*\"";
    let text = reader.text(path, node)?;
    match text.value.parse::<Pattern>() {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let mistake = Mistake::error(text.place, format!("`{path}`: {error}"));
            reader.wrong(mistake.label(format!("expected {EXPECTED}")));
            None
        }
    }
}

fn dir<'a>(reader: &mut Reader<'a>, path: &str, node: &'a Node<'a>, folder: &Path) -> Option<Placed<DirArg>> {
    const EXPECTED: &str = "a string such as \"docs::/docs:ro\", or a table";
    let made = match node.get_ref() {
        DeValue::String(_) => {
            let text = reader.text(path, node)?;
            DirArg::parse(&text.value, folder)
        }
        DeValue::Table(_) => {
            let (mut host, mut guest, mut read_only) = (None, None, false);
            for entry in reader.known(path, node, &["host", "guest", "read-only"]) {
                let path = format!("{path}.{}", entry.key);
                match entry.key {
                    "host" => host = Some(reader.text(&path, entry.value)?.value),
                    "guest" => guest = Some(reader.text(&path, entry.value)?.value),
                    _ => read_only = reader.flag(&path, entry.value).unwrap_or_default(),
                }
            }
            DirArg::new(&host.unwrap_or_default(), guest, !read_only, folder)
        }
        _ => {
            reader.unexpected(path, EXPECTED, node);
            return None;
        }
    };
    match made {
        Ok(value) => Some(Placed { value, place: node.span() }),
        Err(why) => {
            let mistake = Mistake::error(node.span(), format!("`{path}`: {why}"));
            reader.wrong(mistake.label(format!("expected {EXPECTED}")));
            None
        }
    }
}

fn read_limits<'a>(reader: &mut Reader<'a>, node: &'a Node<'a>, manifest: &mut Manifest) {
    for entry in reader.known("limits", node, &limits::names()) {
        let path = format!("limits.{}", entry.key);
        let Some(limit) = Limit::named(entry.key) else { continue };
        let text = match entry.value.get_ref() {
            DeValue::Integer(number) if limits::is_number(limit) => {
                match i128::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => number.to_string(),
                    Err(_) => number.to_string(),
                }
            }
            DeValue::String(_) if limits::is_text(limit) => match reader.text(&path, entry.value) {
                Some(text) => text.value,
                None => continue,
            },
            _ => {
                reader.unexpected(&path, &limits::expected(limit), entry.value);
                continue;
            }
        };
        if let Err(why) = limits::set(&mut manifest.limits, limit, &text) {
            let why = why.replacen(entry.key, &path, 1);
            let mistake = Mistake::error(entry.value.span(), why);
            reader.wrong(mistake.label(format!("expected {}", limits::expected(limit))));
        }
    }
}

fn name(reader: &mut Reader<'_>, path: &str, node: &Node<'_>) -> Option<Placed<String>> {
    let name = reader.text(path, node)?;
    match greenroom::check_name(&name.value) {
        Ok(()) => Some(name),
        Err(rule) => {
            reader.wrong(Mistake::error(name.place, format!("`{path}`: {rule}")));
            None
        }
    }
}

fn duration(reader: &mut Reader<'_>, path: &str, node: &Node<'_>) -> Option<Duration> {
    const EXPECTED: &str = "a duration, such as \"30s\" or \"5m\"";
    if !matches!(node.get_ref(), DeValue::String(_)) {
        reader.unexpected(path, EXPECTED, node);
        return None;
    }
    let text = reader.text(path, node)?;
    match humantime::parse_duration(&text.value) {
        Ok(duration) => Some(duration),
        Err(error) => {
            let message = format!("`{path}`: {:?} is no duration: {error}", text.value);
            reader.wrong(Mistake::error(text.place, message).label(format!("expected {EXPECTED}")));
            None
        }
    }
}

/// Whether two names are the same to callers.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.replace('_', "-") == b.replace('_', "-")
}

#[cfg(test)]
mod tests;
