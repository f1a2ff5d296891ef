//! Which function a person means.
//!
//! Owns: the short names of callable functions, and what is said where none or several fit. Must
//! not know: where the functions are. Invariant: a name that fits several functions calls none.

use greenroom::{ComponentInfo, ExportKind, FunctionInfo, FunctionKind, FunctionType, Signature};

use crate::error::CliError;
use crate::values::Shape;

/// How many similar names an error offers.
const NEAR: usize = 3;

/// A function that may be called.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    /// Its whole name: `module:function` or `module/interface:function`.
    pub(crate) name: String,
    /// What is known of it.
    pub(crate) kind: Kind,
}

/// What is known of a function.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Its types.
    Plain(FunctionType),
    /// What its author says.
    Portal(Option<Signature>),
}

impl Function {
    /// What its arguments are checked against.
    pub(crate) fn shape(&self) -> Shape<'_> {
        match &self.kind {
            Kind::Plain(ty) => Shape::Plain(ty),
            Kind::Portal(signature) => Shape::Portal(signature.as_ref()),
        }
    }

    /// The functions of a component that an actor runs as `module`.
    pub(crate) fn of_component(module: &str, info: &ComponentInfo) -> Vec<Self> {
        let mut functions = Vec::new();
        for export in &info.exports {
            let name = match &export.interface {
                Some(interface) => format!("{module}/{interface}:{}", export.function),
                None => format!("{module}:{}", export.function),
            };
            let kind = match &export.kind {
                ExportKind::Plain(ty) => Kind::Plain(ty.clone()),
                ExportKind::Portal => {
                    let interface = export.interface.as_deref().unwrap_or_default();
                    Kind::Portal(info.signature(interface, &export.function).cloned())
                }
                ExportKind::Uncallable { .. } => continue,
            };
            functions.push(Self { name, kind });
        }
        functions
    }
}

impl From<FunctionInfo> for Function {
    fn from(info: FunctionInfo) -> Self {
        let kind = match info.kind {
            FunctionKind::Portal(signature) => Kind::Portal(signature),
            FunctionKind::Plain(ty) => Kind::Plain(ty),
        };
        Self { name: info.name, kind }
    }
}

/// Why the function of a component that goes by this name cannot be called, if there is one.
pub(crate) fn uncallable(info: &ComponentInfo, wanted: &str) -> Option<CliError> {
    info.exports.iter().find_map(|export| match &export.kind {
        ExportKind::Uncallable { reason } => {
            let name = match &export.interface {
                Some(interface) => format!("{interface}:{}", export.function),
                None => format!(":{}", export.function),
            };
            goes_by(&name, wanted).then(|| CliError::input(format!("`{wanted}` cannot be called: {reason}")))
        }
        _ => None,
    })
}

/// The function that `wanted` means: `function`, `module:function`, `interface:function`, or more
/// of the name. `whose` is where it was looked for, for a message.
///
/// # Errors
/// None or several go by that name.
pub(crate) fn resolve(functions: &[Function], wanted: &str, whose: &str) -> Result<Function, CliError> {
    if wanted.starts_with("self:") {
        // The runtime's own, which every actor has.
        return Ok(Function { name: wanted.to_owned(), kind: Kind::Portal(None) });
    }
    if let Some(exact) = functions.iter().find(|function| same(&function.name, wanted)) {
        return Ok(exact.clone());
    }
    let found: Vec<&Function> = functions.iter().filter(|function| goes_by(&function.name, wanted)).collect();
    match &found[..] {
        [one] => Ok((*one).clone()),
        [] => Err(none(functions, wanted, whose)),
        several => {
            let names: Vec<String> = several.iter().map(|function| format!("`{}`", function.name)).collect();
            let message = format!("`{wanted}` means several functions of {whose}");
            Err(CliError::input(message).hint(format!("say which: {}", names.join(", "))))
        }
    }
}

fn none(functions: &[Function], wanted: &str, whose: &str) -> CliError {
    let error = CliError::input(format!("{whose} has no function `{wanted}`"));
    if functions.is_empty() {
        return error.hint("it has none that can be called");
    }
    let (_, short) = split(wanted);
    let likeness = |name: &str| strsim::jaro_winkler(short, split(name).1);
    let mut near: Vec<(f64, &str)> =
        functions.iter().map(|function| (likeness(&function.name), function.name.as_str())).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let names =
        |all: &[(f64, &str)]| all.iter().map(|(_, name)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match near.iter().take(NEAR).take_while(|(likeness, _)| *likeness > 0.75).count() {
        0 if near.len() <= 8 => error.hint(format!("it has {}", names(&near))),
        0 => error.hint("`greenroom inspect` shows what there is"),
        count => error.hint(format!("did you mean {}?", names(&near[..count]))),
    }
}

/// Module and function of a name; an interface such as `local:demo/shapes` has a colon of its own.
fn split(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((module, function)) if !function.contains(['/', '@']) => (module, function),
        _ => ("", name),
    }
}

/// Whether a function of this whole name may be called `wanted` for short.
fn goes_by(name: &str, wanted: &str) -> bool {
    let ((module, function), (wanted_module, wanted_function)) = (split(name), split(wanted));
    if !same(function, wanted_function) {
        return false;
    }
    let (component, interface) = match module.split_once('/') {
        Some((component, interface)) => (component, interface),
        None => (module, module),
    };
    let modules = std::iter::once(module).chain([component]).map(str::to_owned);
    let interfaces = names_of_interface(interface)
        .flat_map(|short| [short.to_owned(), format!("{component}/{short}")].into_iter());
    wanted_module.is_empty() || modules.chain(interfaces).any(|known| same(&known, wanted_module))
}

/// An interface with and without its version, and without its package.
fn names_of_interface(interface: &str) -> impl Iterator<Item = &str> {
    let unversioned = interface.split('@').next().unwrap_or(interface);
    let bare = unversioned.rsplit('/').next().unwrap_or(unversioned);
    [interface, unversioned, bare].into_iter()
}

/// Whether two names are the same to users: `_` and `-` are.
fn same(a: &str, b: &str) -> bool {
    a.replace('_', "-") == b.replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(wanted: &str) -> Result<String, CliError> {
        let functions: Vec<Function> = [
            "app:main",
            "app/math:square-root",
            "app/math:halve",
            "geometry/local:demo/shapes@0.1.0:area",
            "geometry/local:demo/solids@0.1.0:area",
            "geometry/local:demo/solids@0.1.0:volume",
        ]
        .into_iter()
        .map(|name| Function { name: name.to_owned(), kind: Kind::Portal(None) })
        .collect();
        resolve(&functions, wanted, "`x`").map(|function| function.name)
    }

    #[test]
    fn a_function_goes_by_every_name_that_is_its_alone() {
        let root = "app/math:square-root";
        for wanted in ["square-root", "square_root", "math:square_root", "app:square-root", root] {
            assert_eq!(found(wanted).expect("it is one"), root, "{wanted}");
        }
        let area = "geometry/local:demo/shapes@0.1.0:area";
        for wanted in
            ["shapes:area", "geometry/shapes:area", "local:demo/shapes:area", "local:demo/shapes@0.1.0:area"]
        {
            assert_eq!(found(wanted).expect("it is one"), area, "{wanted}");
        }
        assert_eq!(found("geometry:volume").expect("it is one"), "geometry/local:demo/solids@0.1.0:volume");
        assert_eq!(found("self:describe").expect("the runtime's own"), "self:describe");
    }

    #[test]
    fn what_is_not_one_function_is_none() {
        for wanted in ["area", "geometry:area", "volumes", "app:area", "maths:halve", ""] {
            assert!(found(wanted).is_err(), "{wanted}");
        }
    }
}
