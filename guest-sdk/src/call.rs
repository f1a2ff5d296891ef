//! Functions as values: what a typed call is, and the handle of a module.
//!
//! Owns: [`Call`], [`Module`] and [`ModuleRef`]. Must not know: portals or actors.

use std::fmt;

use serde::Serialize;

/// A call of a module's function with its arguments: implemented by the struct that `#[module]`
/// puts beside each exported function, and serialized as the map of keyword arguments.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a call of a module's function",
    note = "write `module::function {{ argument: value }}`, or `run_from_ns` to call by name",
    note = "a function marked `#[context]` is called with `portal.open_context(module::function {{ … }})`"
)]
pub trait Call: Serialize {
    /// The name of the module.
    const MODULE: &'static str;
    /// The name of the function in it.
    const FUNCTION: &'static str;
    /// What the function gives when it succeeds.
    type Output;
}

/// The function's name on the wire.
pub(crate) fn function_name(module: &str, function: &str) -> String {
    format!("{module}:{function}")
}

/// A module with exported functions, for the list of modules that an actor is started with.
///
/// `#[module]` puts one beside the functions, as `MODULE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module {
    name: &'static str,
    functions: &'static [&'static str],
}

/// For generated code: the handle of a module.
pub const fn module(name: &'static str, functions: &'static [&'static str]) -> Module {
    Module { name, functions }
}

impl Module {
    /// Its name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The names of its exported functions, in the order of the source.
    #[must_use]
    pub const fn functions(&self) -> &'static [&'static str] {
        self.functions
    }

    /// Single functions of the module: an actor started with these serves no others of it.
    ///
    /// ```
    /// # use greenroom_guest::module;
    /// #[module]
    /// pub mod math {
    ///     pub fn square(x: i64) -> i64 { x * x }
    ///     pub fn cube(x: i64) -> i64 { x * x * x }
    /// }
    ///
    /// let entries: Vec<String> = math::MODULE.only(["cube"]).iter().map(ToString::to_string).collect();
    /// assert_eq!(entries, ["math:cube"]);
    /// ```
    ///
    /// # Panics
    /// If the module exports no function of one of these names.
    #[must_use]
    #[track_caller]
    pub fn only<'a>(&self, functions: impl IntoIterator<Item = &'a str>) -> Vec<ModuleRef> {
        let entry = |function: &str| {
            assert!(self.functions.contains(&function), "module `{}` exports no `{function}`", self.name);
            ModuleRef(format!("{}:{function}", self.name))
        };
        functions.into_iter().map(entry).collect()
    }
}

/// One entry of the list of modules that an actor is started with: `module`, or
/// `module:function` for a single function of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleRef(String);

impl fmt::Display for ModuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Module> for ModuleRef {
    fn from(module: Module) -> Self {
        Self(module.name.to_owned())
    }
}

impl From<&str> for ModuleRef {
    fn from(entry: &str) -> Self {
        Self(entry.to_owned())
    }
}

impl From<String> for ModuleRef {
    fn from(entry: String) -> Self {
        Self(entry)
    }
}

impl From<ModuleRef> for String {
    fn from(entry: ModuleRef) -> Self {
        entry.0
    }
}
