//! `greenroom inspect`: what a component is.
//!
//! Owns: the layout. Must not know: how it was found out. Invariant: everything a person must
//! know before running it stands on one screen.

use std::fmt::Write as _;

use greenroom::{Cache, ComponentInfo, Engine, Export, ExportKind};

use crate::args::InspectArgs;
use crate::error::CliError;
use crate::values::write_line;

/// What each group of imports needs to be of use. The first match counts.
const GRANTS: &[(&str, &str)] = &[
    ("greenroom:portal/", "nothing: actors, nurseries, log"),
    ("wasi:filesystem/", "--dir HOST[::GUEST][:ro]; without it no file is seen"),
    ("wasi:sockets/", "network: cannot be granted; every attempt fails"),
    ("wasi:cli/environment", "--env KEY[=VALUE]; without it the environment is empty"),
    ("wasi:", "nothing"),
];

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
        let grant = GRANTS.iter().find(|(prefix, _)| import.starts_with(prefix)).map(|(_, grant)| *grant);
        let _ = writeln!(text, "  {import:width$}  {}", grant.unwrap_or("no host offers it"));
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
