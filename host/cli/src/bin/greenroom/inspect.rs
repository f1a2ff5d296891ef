//! `greenroom inspect`: what a component is.
//!
//! Owns: the layout. Must not know: how it was found out. Invariant: everything a person must
//! know before running it stands on one screen.

use std::fmt::Write as _;

use greenroom::{Cache, ComponentInfo, Engine, Export, ExportKind};

use crate::error::CliError;
use crate::values::write_line;

/// Show what a component exports, imports, and needs to be granted
#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// The component
    #[arg(value_name = "MODULE")]
    pub(crate) module: std::path::PathBuf,
}

/// What a group of imports needs to be of use.
pub(crate) struct Grant {
    /// How the names of the group begin.
    pub(crate) prefix: &'static str,
    /// What to give on the command line.
    flag: &'static str,
    /// What to write in a manifest; none if nothing is needed.
    pub(crate) manifest: Option<&'static str>,
}

/// What each group of imports needs to be of use. The first match counts.
const GRANTS: &[Grant] = &[
    Grant { prefix: "greenroom:portal/", flag: "nothing: actors, nurseries, log", manifest: None },
    Grant {
        prefix: "wasi:filesystem/",
        flag: "--dir HOST[::GUEST][:ro]; without it no file is seen",
        manifest: Some("if it needs files, add to [grants]: dirs = [\"HOST::/GUEST:ro\"]"),
    },
    Grant {
        prefix: "wasi:sockets/",
        flag: "network: cannot be granted; every attempt fails",
        manifest: Some("the network cannot be granted: every attempt fails"),
    },
    Grant {
        prefix: "wasi:cli/environment",
        flag: "--env KEY[=VALUE]; without it the environment is empty",
        // Every component that Rust makes imports it.
        manifest: None,
    },
    Grant { prefix: "wasi:", flag: "nothing", manifest: None },
];

/// What an import needs, if a host offers it at all.
pub(crate) fn grant(import: &str) -> Option<&'static Grant> {
    GRANTS.iter().find(|grant| import.starts_with(grant.prefix))
}

pub(crate) fn inspect(args: &InspectArgs) -> Result<(), CliError> {
    let engine = Engine::new().map_err(|error| CliError::ended(125, format!("no engine: {error}")))?;
    let artifact = Cache::open_default()?.load(&engine, &args.module)?;
    write_line(describe(&artifact.info).trim_end())
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
    let module = export.interface.as_deref().unwrap_or("");
    let name = match module {
        "" => export.function.clone(),
        module => format!("{module}:{}", export.function),
    };
    match &export.kind {
        ExportKind::Portal => {}
        ExportKind::Plain(ty) => return format!("{name}{ty}"),
        ExportKind::Uncallable { reason } => return format!("{name}  (cannot be called: {reason})"),
    }
    match info.signature(module, &export.function) {
        None => name,
        Some(signature) => {
            let params: Vec<String> =
                signature.params.iter().map(|(name, ty)| format!("{name}: {}", compact(ty))).collect();
            let mut line = format!("{name}({})", params.join(", "));
            if !signature.result.is_empty() && signature.result != "()" {
                let _ = write!(line, " -> {}", compact(&signature.result));
            }
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

/// A type as a person writes it: the macro's token stream has a space between all tokens.
fn compact(ty: &str) -> String {
    ty.replace(" < ", "<").replace(" >", ">").replace(" :: ", "::").replace(" ,", ",").replace("& ", "&")
}
