//! `greenroom check`: whether a manifest would do.
//!
//! Owns: what is looked at beyond what a run looks at, and what is said. Must not know: how the
//! parts are looked at. Invariant: nothing is started.

use std::path::PathBuf;

use greenroom::{ComponentInfo, Wall};

use crate::app::{App, manifest_path};
use crate::build::{Builder, Lines};
use crate::error::CliError;
use crate::inspect::grant;
use crate::mistakes::{Mistake, Mistakes};
use crate::run::main_call;
use crate::values::write_line;

/// Say what is wrong with a greenroom.toml and with what it names
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Crates are built, components loaded, folders opened; nothing is started. What a component imports
and is not granted is a warning: it may never use it.
Examples:
  greenroom check
  greenroom check services/greeter

Exit status:
  0 it can be run     1 a crate does not build     2 something is wrong")]
pub(crate) struct CheckArgs {
    /// The manifest, or the folder that has it; without it, the nearest one upward
    #[arg(value_name = "FILE|DIR")]
    pub(crate) manifest: Option<PathBuf>,

    /// Go without a wall around the compiler that this machine lacks
    #[arg(long, value_name = "WALL")]
    pub(crate) without: Vec<Wall>,
}

pub(crate) fn check(args: &CheckArgs) -> Result<(), CliError> {
    let path = manifest_path(args.manifest.as_deref())?;
    let mut app = App::of_manifest(&path)?;
    app.without = args.without.iter().copied().collect();
    let ready = app.prepare(&mut Builder::new(Lines::News))?;
    if app.main.is_some() {
        main_call(&app, &ready, &[])?;
    }
    let mut warnings = app.manifest.clone().map(Mistakes::none);
    for (module, info) in app.modules.iter().zip(&ready.infos) {
        let (Some(warnings), Some(place)) = (&mut warnings, &module.place) else { continue };
        for message in ungranted(&app, &module.name, info) {
            let (message, help) = message;
            warnings.add(Mistake::warning(place.clone(), message).help(help));
        }
    }
    let shown = warnings.map(|warnings| warnings.render()).unwrap_or_default();
    if !shown.is_empty() {
        write_line(&shown)?;
        write_line("")?;
    }
    let modules: Vec<String> = app.modules.iter().map(|module| format!("`{}`", module.name)).collect();
    let main = match &app.main {
        Some(main) => format!("; `{main}` has the main"),
        None => String::new(),
    };
    write_line(&format!("{}: `{}` can be run: {}{main}", path.display(), app.name, modules.join(", ")))
}

/// What a module imports that the manifest does not grant, with what to do about it.
fn ungranted(app: &App, module: &str, info: &ComponentInfo) -> Vec<(String, &'static str)> {
    let mut found: Vec<(String, &'static str)> = Vec::new();
    for import in &info.imports {
        let Some(grant) = grant(import) else { continue };
        let Some(manifest) = grant.manifest else { continue };
        let group = grant.prefix.trim_end_matches('/');
        let message = format!("`{module}` imports `{group}`, and is granted nothing of it");
        if !(grant.held)(app) && !found.iter().any(|(known, _)| *known == message) {
            found.push((message, manifest));
        }
    }
    found
}
