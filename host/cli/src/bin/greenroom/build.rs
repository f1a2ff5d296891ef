//! `greenroom build`: a guest crate into a component.
//!
//! Owns: what is said about it, and when a way to build is set up. Must not know: how guests are
//! built. Invariant: the last line names the file that was made.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use greenroom_toolchain::{Build, BuildError, Built, Toolchain, detect, setup};

use crate::error::CliError;
use crate::values::write_line;

/// Build the guest crate in a folder into a component
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The component is written to target/guests/<package>.wasm of the crate's workspace, or to --out.
Where this machine has no way to build guests, one is installed, with apt or rustup.
Examples:
  greenroom build
  greenroom build modules/hello --out dist")]
pub(crate) struct BuildArgs {
    /// The crate's folder
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,

    /// Where to put the component
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

pub(crate) fn build(args: &BuildArgs) -> Result<(), CliError> {
    for built in Builder::new(Lines::All).build(&args.dir, args.out.clone())? {
        write_line(&built.wasm.display().to_string())?;
    }
    Ok(())
}

/// Which of cargo's lines are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    All,
    /// All but those that say that there was nothing to do.
    News,
}

/// Builds guest crates, by a way that is looked for once.
#[derive(Debug)]
pub(crate) struct Builder {
    toolchain: Option<Toolchain>,
    lines: Lines,
}

impl Builder {
    pub(crate) fn new(lines: Lines) -> Self {
        Self { toolchain: None, lines }
    }

    /// Builds the crate in a folder, unless its component is up to date, and names the component.
    ///
    /// # Errors
    /// When the folder has no guest crate, or it cannot be built.
    pub(crate) fn component(&mut self, folder: &Path) -> Result<PathBuf, CliError> {
        match &self.build(folder, None)?[..] {
            [built] => Ok(built.wasm.clone()),
            several => {
                let crates: Vec<&str> = several.iter().map(|built| built.package.as_str()).collect();
                let message = format!("`{}` holds several guest crates", folder.display());
                Err(CliError::input(message).hint(format!("name the folder of one: {}", crates.join(", "))))
            }
        }
    }

    fn build(&mut self, folder: &Path, out: Option<PathBuf>) -> Result<Vec<Built>, CliError> {
        let mut log = Log { lines: self.lines, line: Vec::new() };
        let toolchain = match self.toolchain.take() {
            Some(toolchain) => toolchain,
            None => toolchain(&mut log)?,
        };
        let toolchain = self.toolchain.insert(toolchain);
        let mut build = Build::new(folder);
        build.out_dir = out;
        build.colour = std::io::stderr().is_terminal();
        toolchain.build(&build, &mut log).map_err(|error| match error {
            BuildError::Cargo { .. } | BuildError::NoArtifact { .. } | BuildError::Io { .. } => {
                CliError::failed(error.to_string())
            }
            _ => CliError::input(error.to_string()),
        })
    }
}

/// The best way there is; only where there is none, one is set up.
fn toolchain(log: &mut dyn Write) -> Result<Toolchain, CliError> {
    if let Ok(toolchain) = detect() {
        return Ok(toolchain);
    }
    // Where nobody reads this, the error at the end still says what was tried.
    let _ = writeln!(log, "this machine has no way to build guest crates yet; setting one up");
    setup(log).map_err(|error| CliError::input(error.to_string()).hint("`greenroom doctor` tells more"))
}

/// Standard error, but for lines that nobody wants.
struct Log {
    lines: Lines,
    line: Vec<u8>,
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.lines == Lines::All {
            return std::io::stderr().write(bytes);
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                if !String::from_utf8_lossy(&line).contains("Finished") {
                    std::io::stderr().write_all(&line)?;
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
