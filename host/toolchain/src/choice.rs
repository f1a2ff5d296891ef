//! Picks the way to build guests with.
//!
//! Owns: what each way needs, and the order of preference. Must not know: how pieces are
//! looked for, or how a build runs. Invariant: a way that is not taken, though better than
//! the one taken, is accounted for by a [`Refusal`].

use std::fmt;
use std::path::PathBuf;

use crate::missing::{Home, Missing, Refusal};
use crate::places::Places;
use crate::survey::{self, Compiler, Source, Survey};
use crate::version::Version;
use crate::way::{Recipe, Way};

/// A way to build guests that this machine has the pieces for.
///
/// [`Display`](fmt::Display) says in some lines which way that is and why no better one was
/// taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// Best first, never empty; the ones after the first are for when it fails to compile.
    pub(crate) recipes: Vec<Recipe>,
    pub(crate) refusals: Vec<Refusal>,
}

impl Toolchain {
    /// The way that is tried first.
    pub fn way(&self) -> Way {
        self.recipe().way
    }

    /// Why the better ways were not taken.
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    /// The folders of `wasm-component-ld`, which makes a component of what any compiler has made,
    /// and of the `wasm-ld` that it starts.
    pub fn linkers(&self) -> &[PathBuf] {
        &self.recipe().linkers
    }

    pub(crate) fn recipe(&self) -> &Recipe {
        &self.recipes[0]
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.recipe())?;
        self.refusals.iter().try_for_each(|refusal| write!(f, "\n  not {refusal}"))
    }
}

/// This machine has no way to build guests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoToolchain {
    /// What each way lacks; never empty.
    pub refusals: Vec<Refusal>,
}

impl fmt::Display for NoToolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no way to build guest crates on this machine; any one of these would do:")?;
        self.refusals.iter().try_for_each(|refusal| write!(f, "\n  {refusal}"))
    }
}

impl std::error::Error for NoToolchain {}

/// Finds the best way to build guests on this machine. Takes some 100 ms and changes nothing.
///
/// # Errors
///
/// If no way has all its pieces; the error names them, with the commands that bring them.
pub fn detect() -> Result<Toolchain, NoToolchain> {
    choose(&Survey::take(&Places::of_this_machine(), &survey::ask))
}

/// Picks from what was found.
pub(crate) fn choose(survey: &Survey) -> Result<Toolchain, NoToolchain> {
    let sources = attempts(survey.compilers.iter(), Way::SourceUnwind, survey);
    let (system, others) = survey.compilers.split_at(1);
    let prebuilt = attempts(others.iter().chain(system), Way::Prebuilt, survey);

    let mut recipes = Vec::new();
    let mut refusals = Vec::new();
    match sources {
        Ok(recipe) => {
            recipes.push(recipe.clone());
            recipes.extend(prebuilt.ok());
            recipes.push(Recipe { way: Way::SourceAbort, ..recipe });
        }
        Err(mut refused) => {
            refusals.append(&mut refused);
            match prebuilt {
                Ok(recipe) => recipes.push(recipe),
                Err(mut refused) => {
                    refused.retain(|refusal| refusal.home != Home::System);
                    if refused.is_empty() {
                        let home = Home::Rustup("stable".to_owned());
                        refused.push(Refusal { way: Way::Prebuilt, home, missing: vec![Missing::Toolchain] });
                    }
                    refusals.append(&mut refused);
                }
            }
        }
    }
    if recipes.is_empty() { Err(NoToolchain { refusals }) } else { Ok(Toolchain { recipes, refusals }) }
}

/// The first compiler that has everything, or why none has. Only the system's and the one
/// other that lacks least are named: all toolchains would hide the line that matters.
fn attempts<'a>(
    compilers: impl Iterator<Item = &'a Compiler>,
    way: Way,
    survey: &Survey,
) -> Result<Recipe, Vec<Refusal>> {
    let mut system = None;
    let mut nearest: Option<Refusal> = None;
    for compiler in compilers {
        let missing = match attempt(compiler, way, survey) {
            Ok(recipe) => return Ok(recipe),
            Err(missing) => missing,
        };
        let refusal = Refusal { way, home: compiler.home.clone(), missing };
        if compiler.home == Home::System {
            system = Some(refusal);
        } else if nearest.as_ref().is_none_or(|nearest| refusal.missing.len() < nearest.missing.len()) {
            nearest = Some(refusal);
        }
    }
    Err(system.into_iter().chain(nearest).collect())
}

fn attempt(compiler: &Compiler, way: Way, survey: &Survey) -> Result<Recipe, Vec<Missing>> {
    let mut missing = Vec::new();
    let promising = compiler.target || !matches!(compiler.source, Source::Absent(_));
    if compiler.rustc.is_none() || (promising && compiler.version.is_none()) {
        missing.push(Missing::Rustc(compiler.sysroot.join("bin/rustc")));
    }
    let oldest = Version::oldest();
    if let Some(found) = compiler.version.filter(|found| *found < oldest) {
        missing.push(Missing::TooOld { found, oldest });
    }
    if compiler.cargo.is_none() {
        missing.push(Missing::Cargo(compiler.sysroot.join("bin/cargo")));
    }
    let mut libc = None;
    if way.compiles_std() {
        match (&compiler.source, compiler.version) {
            (Source::Absent(place), _) => missing.push(Missing::Source(place.clone())),
            (Source::Versioned(_, source_version), Some(rustc)) if *source_version != rustc => {
                missing.push(Missing::OtherSource { rustc, source_version: *source_version });
            }
            _ => {}
        }
        if !compiler.target {
            match &survey.libc {
                Ok(found) => libc = Some(found.clone()),
                Err(place) => missing.push(Missing::Libc(place.clone())),
            }
        }
    } else if !compiler.target {
        missing.push(Missing::Target);
    }
    let linkers = survey.linkers(compiler);
    if linkers.is_none() {
        missing.push(Missing::Linker);
    }
    match (&compiler.rustc, &compiler.cargo, compiler.version, linkers) {
        (Some(rustc), Some(cargo), Some(version), Some(linkers)) if missing.is_empty() => {
            Ok(Recipe { way, rustc: rustc.clone(), cargo: cargo.clone(), version, libc, linkers })
        }
        _ => Err(missing),
    }
}

#[cfg(test)]
mod tests;
