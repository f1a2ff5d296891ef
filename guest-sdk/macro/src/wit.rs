//! The WIT of a module: its own world, and the ABI's package for it to refer to.
//!
//! Owns: the text given to wit-bindgen. Must not know: Rust code. Invariant: every identifier
//! is escaped, so a function may be called by a word of WIT's.

use crate::function::Function;
use crate::name::kebab;

/// What every portal function refers to.
const USES: &str = "use greenroom:portal/types@0.1.0.{payload, remote-error};
    use greenroom:portal/context@0.1.0.{context};";

/// What a portal function is.
const TYPE: &str = "async func(ctx: context, kwargs: payload) -> result<payload, remote-error>;";

/// A world that exports one interface with the given functions.
pub(crate) fn module(name: &str, functions: &[Function]) -> String {
    let name = kebab(name);
    let functions: String =
        functions.iter().map(|f| format!("        %{}: {TYPE}\n", kebab(&f.name))).collect();
    package(
        &format!("module-{name}"),
        &format!("export %{name}: interface {{\n    {USES}\n{functions}    }}"),
    )
}

/// A world that exports a function `main`.
pub(crate) fn main() -> String {
    package("application", &format!("{USES}\n    export main: {TYPE}"))
}

fn package(world: &str, body: &str) -> String {
    let mut text = format!("package greenroom:{world};\nworld {world} {{\n    {body}\n}}\n");
    text.push_str("package greenroom:portal@0.1.0 {\n");
    for file in greenroom_abi::WIT {
        let declarations = file.split_once(';').map_or("", |(_package, rest)| rest);
        text.push_str(declarations);
    }
    text.push_str("}\n");
    text
}
