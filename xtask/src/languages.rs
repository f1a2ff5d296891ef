//! Guests in other languages than Rust.
//!
//! Owns: which there are, what each is made of and by which commands. Must not know: how a tool
//! gets on this machine. Invariant: what is up to date is not made again, and what is made is made
//! with the versions that are written down here and beside the sources.
//!
//! Everything is in `target/languages`, the components in `target/guests/languages`.

mod stamp;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use greenroom_toolchain::{Toolchain, detect};

use self::stamp::Stamp;
use crate::guests::say;
use crate::system::{self, Need};
use crate::workspace::root;

/// The folder of the contract that each of them keeps.
const LEAF: &str = "modules/leaf";

/// A component of somebody else's: the crate that carries it, its version, the file, and what
/// `sha256sum` says of it.
const PUBLISHED: [&str; 4] = [
    "augurs-prophet",
    "0.10.3",
    "prophet-wasmstan.wasm",
    "0b50fe158cffca61e15d9db603d2b8b74ce23e3c0eb484819f94cffd668716d2",
];

/// The version of `wit-bindgen`, the program, that writes C: that of the crate that writes Rust.
const WIT_BINDGEN: &str = "0.61.1";

/// What they need of the system.
const NEEDS: &[Need] = &[
    Need {
        name: "python3 with venv, for guests in Python",
        test: &["python3", "-c", "import ensurepip, venv"],
        packages: &["python3", "python3-venv"],
    },
    Need { name: "node, for guests in JavaScript", test: &["node", "--version"], packages: &["nodejs"] },
    Need { name: "npm, for guests in JavaScript", test: &["npm", "--version"], packages: &["npm"] },
    Need {
        name: "clang with a C library for WASI, for guests in C",
        test: &["clang", "--target=wasm32-wasi", "-x", "c", "-", "-o", "/dev/null"],
        packages: &["clang", "lld", "wasi-libc", "libclang-rt-dev-wasm32"],
    },
];

/// Builds all of them, after installing what that takes. The guests in Rust must have been built.
pub(crate) fn build() -> anyhow::Result<()> {
    let workshop = Workshop::open()?;
    system::prepare(NEEDS)?;
    workshop.python_packages()?;
    workshop.node_packages()?;
    workshop.bindings_generator()?;
    workshop.rust()?;
    workshop.c()?;
    workshop.python()?;
    workshop.javascript()?;
    workshop.published()
}

/// Where tools are and components come to be.
struct Workshop {
    root: PathBuf,
    tools: PathBuf,
    out: PathBuf,
}

impl Workshop {
    fn open() -> anyhow::Result<Self> {
        let root = root();
        let (tools, out) = (root.join("target/languages"), root.join("target/guests/languages"));
        for folder in [&tools, &out] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Ok(Self { root, tools, out })
    }

    /// A source file, for the stamp of what is made of it.
    fn source(&self, path: impl AsRef<Path>) -> anyhow::Result<String> {
        let path = self.root.join(path);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    fn leaf(&self, path: &str) -> anyhow::Result<String> {
        self.source(Path::new(LEAF).join(path))
    }

    fn program(&self, path: &str) -> PathBuf {
        self.tools.join(path)
    }

    fn stamp(&self, product: PathBuf, parts: &[&str]) -> Stamp {
        let name = product.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Stamp::new(self.tools.join(format!("{name}.stamp")), product, parts)
    }

    /// Makes a component, unless what it is made of is as it was.
    fn make(
        &self,
        name: &str,
        parts: &[&str],
        work: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let product = self.out.join(name).with_extension("wasm");
        let shown = product.strip_prefix(&self.root).unwrap_or(&product).display().to_string();
        let stamp = self.stamp(product.clone(), parts);
        if stamp.is_current() {
            say(&format!("{shown} is up to date"));
            return Ok(());
        }
        work(&product)?;
        ensure!(product.is_file(), "{shown} was not made, though nothing complained");
        say(&shown);
        stamp.set()
    }

    /// The package of Python that makes a component of a program in it.
    fn python_packages(&self) -> anyhow::Result<()> {
        let list = "python/requirements.txt";
        let folder = self.program("python");
        let stamp = self.stamp(folder.clone(), &[&self.leaf(list)?]);
        if stamp.is_current() {
            return Ok(());
        }
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        run(Command::new(folder.join("bin/pip"))
            .args(["--disable-pip-version-check", "install", "--quiet", "--no-deps", "--require-hashes"])
            .arg("-r")
            .arg(self.root.join(LEAF).join(list)))?;
        stamp.set()
    }

    /// The packages of node that make a component of a program in JavaScript.
    fn node_packages(&self) -> anyhow::Result<()> {
        let list = self.leaf("javascript/package.json")?;
        let folder = self.program("node");
        let stamp = self.stamp(folder.clone(), &[&list]);
        if stamp.is_current() {
            return Ok(());
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
        }
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("package.json"), list)?;
        let quiet = ["install", "--no-fund", "--no-audit", "--no-package-lock", "--loglevel=error"];
        run(Command::new("npm").args(quiet).current_dir(&folder))?;
        stamp.set()
    }

    /// The program that writes the C side of a contract.
    fn bindings_generator(&self) -> anyhow::Result<()> {
        let program = self.program("bin/wit-bindgen");
        let stamp = self.stamp(program, &[WIT_BINDGEN]);
        if stamp.is_current() {
            return Ok(());
        }
        // It runs for milliseconds, so it is compiled in the quickest way.
        let made = self.program("build");
        run(cargo()
            .args(["install", "--quiet", "--locked", "--debug", "--force"])
            .args(["--no-default-features", "--features", "c", "--version", WIT_BINDGEN, "wit-bindgen-cli"])
            .arg("--root")
            .arg(&self.tools)
            .arg("--target-dir")
            .arg(&made)
            .env("CARGO_PROFILE_DEV_DEBUG", "0"))?;
        // Nothing else is made with what it was compiled from.
        fs::remove_dir_all(&made).with_context(|| format!("cannot remove {}", made.display()))?;
        stamp.set()
    }

    /// The Rust of it is a guest like any other.
    fn rust(&self) -> anyhow::Result<()> {
        let built = self.root.join("target/guests/leaf.wasm");
        let product = self.out.join("rust.wasm");
        let new = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
        if fs::read(&product).is_ok_and(|old| old == new) {
            return Ok(());
        }
        fs::write(&product, new).with_context(|| format!("cannot write {}", product.display()))
    }

    fn c(&self) -> anyhow::Result<()> {
        let parts = [self.leaf("leaf.wit")?, self.leaf("c/shapes.c")?];
        self.make("c", &[&parts[0], &parts[1], WIT_BINDGEN], |product| {
            let (leaf, generated) = (self.root.join(LEAF), self.program("c"));
            run(Command::new(self.program("bin/wit-bindgen"))
                .arg("c")
                .arg(leaf.join("leaf.wit"))
                .arg("--out-dir")
                .arg(&generated))?;
            let toolchain = detect()?;
            run(Command::new("clang")
                .args(["--target=wasm32-wasi", "-mexec-model=reactor", "-O2", "-Wall", "-Werror"])
                .arg(format!("-fuse-ld={}", linker(&toolchain)?.display()))
                .arg("-I")
                .arg(&generated)
                .arg(leaf.join("c/shapes.c"))
                .args(["leaf.c", "leaf_component_type.o"].map(|file| generated.join(file)))
                .arg("-o")
                .arg(product)
                .env("PATH", with_folders(toolchain.linkers())?))
        })
    }

    fn python(&self) -> anyhow::Result<()> {
        let parts =
            [self.leaf("leaf.wit")?, self.leaf("python/leaf.py")?, self.leaf("python/requirements.txt")?];
        self.make("python", &parts.each_ref().map(String::as_str), |product| {
            // It leaves compiled code beside the source, which is to stay as it is.
            let folder = self.program("app");
            fs::create_dir_all(&folder)?;
            fs::write(folder.join("leaf.py"), &parts[1])?;
            run(Command::new(self.program("python/bin/componentize-py"))
                .args(["--quiet", "-w", "leaf", "-d"])
                .arg(self.root.join(LEAF).join("leaf.wit"))
                .args(["componentize", "leaf", "-p"])
                .arg(&folder)
                .arg("-o")
                .arg(product))
        })
    }

    fn javascript(&self) -> anyhow::Result<()> {
        let parts =
            [self.leaf("leaf.wit")?, self.leaf("javascript/leaf.js")?, self.leaf("javascript/package.json")?];
        self.make("javascript", &parts.each_ref().map(String::as_str), |product| {
            let leaf = self.root.join(LEAF);
            run(Command::new(self.program("node/node_modules/.bin/componentize-js"))
                .arg(leaf.join("javascript/leaf.js"))
                .arg("-w")
                .arg(leaf.join("leaf.wit"))
                .args(["-n", "leaf", "-d", "http", "fetch-event", "-o"])
                .arg(product))
        })
    }

    /// The component that somebody else has published, as it is.
    fn published(&self) -> anyhow::Result<()> {
        self.make("published", &PUBLISHED, |product| {
            let [package, version, file, digest] = PUBLISHED;
            // Cargo brings a crate's sources only to a crate that depends on it.
            let folder = self.program("published");
            fs::create_dir_all(folder.join("src"))?;
            fs::write(folder.join("src/lib.rs"), "")?;
            let manifest = format!(
                "[package]\nname = \"published\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
                 {package} = {{ version = \"={version}\", default-features = false }}\n"
            );
            fs::write(folder.join("Cargo.toml"), manifest)?;
            run(cargo().args(["vendor", "--quiet"]).current_dir(&folder).stdout(Stdio::null()))?;
            let found = folder.join("vendor").join(package).join(file);
            let bytes = fs::read(&found).with_context(|| format!("cannot read {}", found.display()))?;
            let sum = folder.join("sum");
            fs::write(&sum, format!("{digest}  {}\n", found.display()))?;
            run(Command::new("sha256sum").args(["--check", "--quiet"]).arg(&sum))?;
            Ok(fs::write(product, bytes)?)
        })
    }
}

/// The cargo that runs us.
fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Runs a command to its end, saying so.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_owned();
    let words = command.get_args().map(|word| crate::host::quoted(&word.to_string_lossy()));
    let line = format!("{} {}", name.display(), words.collect::<Vec<_>>().join(" "));
    let line = line.replace(&format!("{}/", root().display()), "");
    say(&format!("$ {line}"));
    let status = command.status().with_context(|| format!("cannot run {}", name.display()))?;
    ensure!(status.success(), "{line}: {status}; its messages are above");
    Ok(())
}

/// The program that makes a component of what clang has compiled.
fn linker(toolchain: &Toolchain) -> anyhow::Result<PathBuf> {
    let mut all = toolchain.linkers().iter().map(|folder| folder.join("wasm-component-ld"));
    all.find(|file| file.is_file()).context("there is no wasm-component-ld: `cargo xtask setup` says more")
}

/// The search path with these folders first.
fn with_folders(folders: &[PathBuf]) -> anyhow::Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(folders.iter().cloned().chain(env::split_paths(&path)))?)
}
