//! How callers name the functions of an actor.
//!
//! Owns: the names of each function, and which is meant by a name. Must not know: instances.
//! Invariant: a name that could mean two functions means neither, unless it is one's own name.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use greenroom_abi::FunctionName;
use greenroom_runtime::FunctionId;
use greenroom_wire::control::EnabledModule;

use crate::inspect::{Export, canonical, same_name, short_names};

/// The names under which functions are found.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<String, Meaning, RandomState>);

/// What a name means.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    /// The function whose own name it is.
    Own(FunctionId),
    /// The only function that it is a shorter name of.
    Short(FunctionId),
    /// Two functions or more have it as a shorter name.
    Ambiguous,
}

impl Meaning {
    fn function(self) -> Option<FunctionId> {
        match self {
            Self::Own(id) | Self::Short(id) => Some(id),
            Self::Ambiguous => None,
        }
    }
}

impl Names {
    /// Enters a function; gives its own name, as callers are told it. None if it is there already:
    /// a module and one interface of it may both be enabled.
    pub(crate) fn enter(
        &mut self,
        enabled: &EnabledModule,
        export: &Export,
        id: FunctionId,
    ) -> Option<String> {
        let mut modules = modules(enabled, export).into_iter();
        let own = format!("{}:{}", modules.next().unwrap_or_default(), export.function);
        let meaning = self.0.entry(canonical(&own).into_owned()).or_insert(Meaning::Ambiguous);
        if let Meaning::Own(_) = meaning {
            return None;
        }
        *meaning = Meaning::Own(id);
        for module in modules {
            let short = canonical(&format!("{module}:{}", export.function)).into_owned();
            match self.0.entry(short).or_insert(Meaning::Short(id)) {
                Meaning::Own(_) => {}
                Meaning::Short(other) if *other == id => {}
                meaning => *meaning = Meaning::Ambiguous,
            }
        }
        Some(own)
    }

    /// The function of a name.
    pub(crate) fn find(&self, name: &FunctionName<'_>) -> Option<FunctionId> {
        self.0.get(&*canonical(name.text())).copied().and_then(Meaning::function)
    }

    /// Some function of the module of that name.
    pub(crate) fn of_module(&self, module: &str) -> Option<FunctionId> {
        let module = canonical(module);
        let within = |name: &str| FunctionName::parse(name).is_ok_and(|name| name.module == module);
        let mut short = None;
        for (_, meaning) in self.0.iter().filter(|(name, _)| within(name)) {
            if let Meaning::Own(id) = meaning {
                return Some(*id);
            }
            short = short.or(meaning.function());
        }
        short
    }
}

/// The names of the module that an export is found in, its own first.
///
/// A module that is all of a component has the functions of its interfaces under
/// `module/interface`, and under `module` alone. One that is an interface has them under the name
/// that it was enabled by. Wherever an interface's name stands, a shorter form of it may.
fn modules(enabled: &EnabledModule, export: &Export) -> Vec<String> {
    let name = &enabled.name;
    match (&enabled.interface, &export.interface) {
        (_, None) => vec![name.clone()],
        (None, Some(interface)) => {
            let within = forms(interface).map(|form| format!("{name}/{form}"));
            within.chain([name.clone()]).collect()
        }
        (Some(_), Some(interface)) => {
            let length = forms(interface).map(str::len).find(|length| {
                name.len()
                    .checked_sub(*length)
                    .and_then(|at| name.get(at..))
                    .is_some_and(|tail| forms(interface).any(|form| same_name(form, tail)))
            });
            let before = length.map_or("", |length| &name[..name.len() - length]);
            [name.clone()].into_iter().chain(forms(interface).map(|form| format!("{before}{form}"))).collect()
        }
    }
}

/// An interface's names, its own first.
fn forms(interface: &str) -> impl Iterator<Item = &str> {
    [interface].into_iter().chain(short_names(interface))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::ExportKind;

    fn enter(
        names: &mut Names,
        module: &str,
        whole: bool,
        export: (Option<&str>, &str),
        id: usize,
    ) -> String {
        let enabled = EnabledModule {
            name: module.to_owned(),
            component: 0,
            interface: export.0.filter(|_| !whole).map(str::to_owned),
            functions: None,
            isolation: None,
            errors: Vec::new(),
        };
        let export = Export {
            interface: export.0.map(str::to_owned),
            function: export.1.to_owned(),
            kind: ExportKind::Portal,
        };
        names.enter(&enabled, &export, FunctionId(id)).expect("it is new")
    }

    fn found(names: &Names, name: &str) -> Option<usize> {
        names.find(&FunctionName::parse(name).expect("a name")).map(|id| id.0)
    }

    #[test]
    fn an_interface_goes_by_shorter_names() {
        let mut names = Names::default();
        let own = enter(&mut names, "app", true, (Some("local:demo/shapes@0.1.0"), "echo-it"), 0);
        assert_eq!(own, "app/local:demo/shapes@0.1.0:echo-it");
        enter(&mut names, "app", true, (Some("wasi:cli/run@0.2.3"), "run"), 1);
        for name in [
            "app/local:demo/shapes@0.1.0:echo_it",
            "app/local:demo/shapes:echo-it",
            "app/shapes:echo-it",
            "app:echo-it",
        ] {
            assert_eq!(found(&names, name), Some(0), "{name}");
        }
        assert_eq!(found(&names, "app/run:run"), Some(1));
        assert_eq!(found(&names, "shapes:echo-it"), None);
        assert_eq!(names.of_module("app/shapes"), Some(FunctionId(0)));
        assert_eq!(names.of_module("shapes"), None);
    }

    #[test]
    fn a_module_that_is_an_interface_goes_by_all_its_names() {
        for module in ["shapes", "local:demo/shapes", "local:demo/shapes@0.1.0"] {
            let mut names = Names::default();
            enter(&mut names, module, false, (Some("local:demo/shapes@0.1.0"), "echo"), 0);
            for name in ["shapes:echo", "local:demo/shapes:echo", "local:demo/shapes@0.1.0:echo"] {
                assert_eq!(found(&names, name), Some(0), "{module}: {name}");
            }
        }
        let mut names = Names::default();
        enter(&mut names, "tools/math", false, (Some("math"), "halve"), 0);
        assert_eq!(found(&names, "tools/math:halve"), Some(0));
        assert_eq!(found(&names, "math:halve"), None);
    }

    #[test]
    fn a_name_of_two_functions_is_nobodys() {
        let mut names = Names::default();
        enter(&mut names, "app", true, (Some("local:a/text"), "count"), 0);
        enter(&mut names, "app", true, (Some("local:b/text"), "count"), 1);
        enter(&mut names, "app", true, (None, "sum"), 2);
        enter(&mut names, "app", true, (Some("local:b/text"), "sum"), 3);
        assert_eq!(found(&names, "app:count"), None);
        assert_eq!(found(&names, "app/text:count"), None);
        assert_eq!(found(&names, "app/local:b/text:count"), Some(1));
        assert_eq!(found(&names, "app:sum"), Some(2));
        assert_eq!(found(&names, "app/text:sum"), Some(3));
    }
}
