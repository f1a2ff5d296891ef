//! `greenroom inspect`: what a component is.
//!
//! Owns: the layout. Must not know: how it was found out. Invariant: everything a person must
//! know before running it stands on one screen.

use std::fmt::Write as _;

use greenroom::{Cache, ComponentInfo, Engine, Export, ExportKind, FunctionType, Signature, Wall};
use serde::Serialize;

use crate::app::App;
use crate::args::Format;
use crate::error::CliError;
use crate::prepare::compiler;
use crate::values::write_line;

/// Show what a component exports, imports, and needs to be granted
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A function is shown with its types: those of its own language if it was made with the SDK, those of
WIT otherwise. One that cannot be called is shown with the reason.
Examples:
  greenroom inspect squares.wasm
  greenroom inspect squares.wasm -o json | jq '.exports[].name'

Exit status:
  0 it is a component     2 it is none, or cannot be read")]
pub(crate) struct InspectArgs {
    /// The component
    #[arg(value_name = "MODULE")]
    pub(crate) module: std::path::PathBuf,

    /// How to print it
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,

    /// Go without a wall around the compiler that this machine lacks
    #[arg(long, value_name = "WALL")]
    pub(crate) without: Vec<Wall>,
}

/// What a group of imports needs to be of use.
pub(crate) struct Grant {
    /// How the names of the group begin.
    pub(crate) prefix: &'static str,
    /// What to give on the command line.
    flag: &'static str,
    /// What to write in a manifest; none if nothing is needed, or nothing is lost without it.
    pub(crate) manifest: Option<&'static str>,
    /// Whether it is granted.
    pub(crate) held: fn(&App) -> bool,
}

/// What each group of imports needs to be of use. The first match counts.
const GRANTS: &[Grant] = &[
    Grant {
        prefix: "greenroom:portal/nursery",
        flag: "needs --allow spawn; without it no actor is started",
        manifest: Some("if it starts actors, add to [grants]: spawn = true"),
        held: |app| app.rights.spawn,
    },
    Grant {
        prefix: "greenroom:portal/discovery",
        flag: "always; beyond its own tree needs --allow discover",
        manifest: None,
        held: |app| app.rights.discover,
    },
    Grant { prefix: "greenroom:portal/", flag: "always", manifest: None, held: |_| true },
    Grant {
        prefix: "wasi:filesystem/",
        flag: "needs a folder, --dir HOST[::GUEST][:ro]; without one no file is seen",
        manifest: Some("if it needs files, add to [grants]: dirs = [\"HOST::/GUEST:ro\"]"),
        held: |app| !app.dirs.is_empty(),
    },
    Grant {
        prefix: "wasi:sockets/",
        flag: "needs --net HOST:PORT; without it every attempt is denied",
        manifest: Some("if it connects anywhere, add to [grants]: network = [\"HOST:PORT\"]"),
        held: |app| !app.rights.network.is_empty(),
    },
    Grant { prefix: "wasi:random/insecure-seed", flag: "always", manifest: None, held: |_| true },
    Grant {
        prefix: "wasi:random/",
        flag: "needs --allow random; without it a call ends with PermissionDenied",
        manifest: Some("if it needs random numbers, add to [grants]: random = true"),
        held: |app| app.rights.random,
    },
    // What follows every component that Rust makes imports, whether it is used or not.
    Grant { prefix: "wasi:clocks/monotonic-clock", flag: "always", manifest: None, held: |_| true },
    Grant {
        prefix: "wasi:clocks/",
        flag: "needs --allow clock; without it a call ends with PermissionDenied",
        manifest: None,
        held: |app| app.rights.clock,
    },
    Grant {
        prefix: "wasi:cli/stdin",
        flag: "needs --allow stdin; without it there is no input",
        manifest: None,
        held: |app| app.rights.stdin,
    },
    Grant {
        prefix: "wasi:cli/environment",
        flag: "needs --env KEY[=VALUE], or arguments after `--`; without them both are empty",
        manifest: None,
        held: |_| true,
    },
    Grant { prefix: "wasi:", flag: "always", manifest: None, held: |_| true },
];

/// What an import needs, if a host offers it at all.
pub(crate) fn grant(import: &str) -> Option<&'static Grant> {
    GRANTS.iter().find(|grant| import.starts_with(grant.prefix))
}

pub(crate) fn inspect(args: &InspectArgs) -> Result<(), CliError> {
    let engine = Engine::new().map_err(|error| CliError::ended(125, format!("no engine: {error}")))?;
    let cache = Cache::open_default(compiler(&args.without.iter().copied().collect())?)?;
    let artifact = cache.load(&engine, &args.module)?;
    match args.output {
        Format::Text => write_line(describe(&artifact.info).trim_end()),
        Format::Json => {
            let json = serde_json::to_string_pretty(&as_json(&artifact.info));
            write_line(&json.map_err(|error| CliError::ended(125, format!("cannot write JSON: {error}")))?)
        }
    }
}

/// What a component is, for programs.
#[derive(Serialize)]
struct Described<'a> {
    exports: Vec<DescribedExport<'a>>,
    imports: Vec<DescribedImport<'a>>,
    /// Why it cannot be run.
    unlinkable: Option<&'a str>,
}

#[derive(Serialize)]
struct DescribedExport<'a> {
    /// As callers name it, behind the module's name.
    name: String,
    interface: Option<&'a str>,
    function: &'a str,
    /// `portal`, `plain` or `uncallable`.
    kind: &'static str,
    /// Parameters and result on one line.
    #[serde(rename = "type")]
    ty: Option<String>,
    /// What a module made with the SDK says of it.
    signature: Option<&'a Signature>,
    /// The types of a plain function.
    plain: Option<&'a FunctionType>,
    /// Why it cannot be called.
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct DescribedImport<'a> {
    name: &'a str,
    /// What it needs to be granted; none if no host offers it.
    grant: Option<&'static str>,
}

fn as_json(info: &ComponentInfo) -> Described<'_> {
    let exports = info.exports.iter().map(|export| {
        let signature = info.signature(export.interface.as_deref().unwrap_or(""), &export.function);
        let (kind, plain, reason) = match &export.kind {
            ExportKind::Portal => ("portal", None, None),
            ExportKind::Plain(ty) => ("plain", Some(ty), None),
            ExportKind::Uncallable { reason } => ("uncallable", None, Some(reason.as_str())),
        };
        let ty = plain.map(ToString::to_string).or_else(|| signature.map(portal_type));
        let (interface, function) = (export.interface.as_deref(), export.function.as_str());
        DescribedExport { name: name(export), interface, function, kind, ty, signature, plain, reason }
    });
    let imports = info.imports.iter();
    Described {
        exports: exports.collect(),
        imports: imports
            .map(|name| DescribedImport { name, grant: grant(name).map(|grant| grant.flag) })
            .collect(),
        unlinkable: info.unlinkable.as_deref(),
    }
}

fn name(export: &Export) -> String {
    match &export.interface {
        None => export.function.clone(),
        Some(interface) => format!("{interface}:{}", export.function),
    }
}

fn describe(info: &ComponentInfo) -> String {
    let mut text = String::from("exports\n");
    for export in &info.exports {
        let _ = writeln!(text, "  {}", describe_export(info, export));
    }
    if info.exports.is_empty() {
        text.push_str("  nothing\n");
    }
    text.push_str("imports, and what they need to be granted\n");
    let width = info.imports.iter().map(String::len).max().unwrap_or(0);
    for import in &info.imports {
        let grant = grant(import).map_or("no host offers it", |grant| grant.flag);
        let _ = writeln!(text, "  {import:width$}  {grant}");
    }
    if info.imports.is_empty() {
        text.push_str("  nothing\n");
    }
    if let Some(reason) = &info.unlinkable {
        let _ = writeln!(text, "cannot be run\n  {reason}");
    }
    text
}

fn describe_export(info: &ComponentInfo, export: &Export) -> String {
    let name = name(export);
    match &export.kind {
        ExportKind::Portal => {}
        ExportKind::Plain(ty) => return format!("{name}{ty}"),
        ExportKind::Uncallable { reason } => return format!("{name}  (cannot be called: {reason})"),
    }
    match info.signature(export.interface.as_deref().unwrap_or(""), &export.function) {
        None => name,
        Some(signature) => {
            let mut line = format!("{name}{}", portal_type(signature));
            if let Some(context) = &signature.context {
                let [first, sends, receives] =
                    [&context.first, &context.sends, &context.receives].map(|ty| compact(ty));
                let _ = write!(line, ", a context: starts with {first}, sends {sends}, receives {receives}");
            }
            if !signature.doc.is_empty() {
                let _ = write!(line, "  // {}", signature.doc.trim());
            }
            line
        }
    }
}

/// Parameters and result, as the SDK's author wrote them.
fn portal_type(signature: &Signature) -> String {
    let params: Vec<String> =
        signature.params.iter().map(|(name, ty)| format!("{name}: {}", compact(ty))).collect();
    let mut line = format!("({})", params.join(", "));
    if !signature.result.is_empty() && signature.result != "()" {
        let _ = write!(line, " -> {}", compact(&signature.result));
    }
    line
}

/// A type as a person writes it: the macro's token stream has a space between all tokens.
fn compact(ty: &str) -> String {
    ty.replace(" < ", "<").replace(" >", ">").replace(" :: ", "::").replace(" ,", ",").replace("& ", "&")
}
