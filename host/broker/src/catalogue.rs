//! The components of a run, and what a module's name means to an actor.
//!
//! Owns: which component files there are and how `enable_modules` entries are resolved. Must
//! not know: actors. Invariant: a name that cannot be resolved fails before any process exists.
//!
//! An entry is `module` or `module:function`. Its module is, in this order: an interface that
//! one of the asking actor's own components exports; a component's name; or
//! `component/interface`. An interface goes by its full name, such as `local:demo/shapes@0.1.0`, or
//! by `local:demo/shapes` or `shapes` where no other of the component has that.

use std::os::fd::OwnedFd;
use std::path::Path;

use greenroom_engine::{Artifact, Cache, ComponentInfo, Engine, ExportKind, LoadError};
use greenroom_wire::control::{EnabledModule, Isolation};

use crate::station::{FunctionInfo, FunctionKind};

/// The components of a run, by number.
#[derive(Debug, Default)]
pub struct Catalogue {
    components: Vec<Component>,
}

#[derive(Debug)]
struct Component {
    name: String,
    artifact: Artifact,
    options: ModuleOptions,
}

/// How the modules of one component are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModuleOptions {
    /// How long their instances live; none for what suits each function.
    pub isolation: Option<Isolation>,
}

/// What an actor's modules come to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Resolved {
    /// The components to send, by their number here, each once.
    pub(crate) components: Vec<usize>,
    /// The allowlist, its entries naming components by their place in that list.
    pub(crate) modules: Vec<EnabledModule>,
}

impl Catalogue {
    /// Adds a component under a name, compiling it if it never was.
    ///
    /// # Errors
    /// [`LoadError`]; also when it imports what no host offers.
    pub fn add(
        &mut self,
        cache: &Cache,
        engine: &Engine,
        name: &str,
        path: &Path,
        options: ModuleOptions,
    ) -> Result<&ComponentInfo, LoadError> {
        let artifact = cache.load(engine, path)?;
        if let Some(reason) = &artifact.info.unlinkable {
            return Err(LoadError::Compile { path: path.to_owned(), reason: reason.clone() });
        }
        self.components.push(Component { name: name.to_owned(), artifact, options });
        Ok(&self.components[self.components.len() - 1].artifact.info)
    }

    /// Resolves what an actor, which itself runs the components `own`, wants a child to run.
    ///
    /// # Errors
    /// Why, in words, naming the entry.
    pub(crate) fn resolve(&self, entries: &[String], own: &[usize]) -> Result<Resolved, String> {
        let mut resolved = Resolved::default();
        for entry in entries {
            let (module, function) = split(entry);
            let (component, interface) =
                self.find(module, own).ok_or_else(|| self.no_such_module(module, own))?;
            self.check(component, interface.as_deref(), function, entry)?;
            let place = resolved.components.iter().position(|c| *c == component).unwrap_or_else(|| {
                resolved.components.push(component);
                resolved.components.len() - 1
            });
            let same = resolved.modules.iter_mut().find(|known| known.name == module);
            match (same, function) {
                (Some(known), Some(function)) => {
                    if let Some(functions) = &mut known.functions {
                        functions.push(function.to_owned());
                    }
                }
                (Some(known), None) => known.functions = None,
                (None, function) => resolved.modules.push(EnabledModule {
                    name: module.to_owned(),
                    component: place,
                    errors: self.components[component].errors(interface.as_deref()),
                    interface,
                    functions: function.map(|function| vec![function.to_owned()]),
                    isolation: self.components[component].options.isolation,
                }),
            }
        }
        Ok(resolved)
    }

    /// What an actor can be called for that has these modules of these components.
    pub(crate) fn functions(&self, components: &[usize], modules: &[EnabledModule]) -> Vec<FunctionInfo> {
        let mut functions = Vec::new();
        for module in modules {
            let Some(number) = components.get(module.component) else { continue };
            let info = &self.components[*number].artifact.info;
            for export in &info.exports {
                let prefix = match (&module.interface, &export.interface) {
                    (None, Some(inner)) => format!("{}/{inner}", module.name),
                    (whole, inner) if whole == inner => module.name.clone(),
                    _ => continue,
                };
                let mut enabled = module.functions.iter().flatten();
                if module.functions.is_some() && !enabled.any(|name| same(name, &export.function)) {
                    continue;
                }
                let signature = info.signature(export.interface.as_deref().unwrap_or(""), &export.function);
                functions.push(FunctionInfo {
                    name: format!("{prefix}:{}", export.function),
                    doc: signature.map(|signature| signature.doc.clone()).unwrap_or_default(),
                    kind: match &export.kind {
                        ExportKind::Portal => FunctionKind::Portal(signature.cloned()),
                        ExportKind::Plain(ty) => FunctionKind::Plain(ty.clone()),
                        ExportKind::Uncallable { .. } => continue,
                    },
                });
            }
        }
        functions
    }

    /// The compiled code of a component, to be sent to an actor.
    pub(crate) fn code(&self, component: usize) -> std::io::Result<OwnedFd> {
        Ok(self.components[component].artifact.code.try_clone()?.into())
    }

    fn find(&self, module: &str, own: &[usize]) -> Option<(usize, Option<String>)> {
        let exports = |number: usize, wanted: &str| {
            let info = &self.components[number].artifact.info;
            info.interface(wanted).map(str::to_owned)
        };
        let by_name = |name: &str| self.components.iter().position(|component| component.name == name);
        own.iter()
            .find_map(|number| exports(*number, module).map(|interface| (*number, Some(interface))))
            .or_else(|| by_name(module).map(|number| (number, None)))
            .or_else(|| {
                let (component, interface) = module.split_once('/')?;
                let number = by_name(component)?;
                exports(number, interface).map(|interface| (number, Some(interface)))
            })
    }

    /// That there is such a function, where one is named.
    fn check(
        &self,
        component: usize,
        interface: Option<&str>,
        function: Option<&str>,
        entry: &str,
    ) -> Result<(), String> {
        let Some(function) = function else { return Ok(()) };
        let exports = &self.components[component].artifact.info.exports;
        let found = exports.iter().any(|export| {
            let inside = interface.is_none() || export.interface.as_deref() == interface;
            export.is_callable() && inside && same(&export.function, function)
        });
        if found { Ok(()) } else { Err(format!("no callable function `{function}` for entry `{entry}`")) }
    }

    fn no_such_module(&self, module: &str, own: &[usize]) -> String {
        let mut known: Vec<String> = own
            .iter()
            .flat_map(|number| self.components[*number].artifact.info.interfaces())
            .map(|name| format!("`{name}`"))
            .collect();
        known.extend(self.components.iter().map(|component| format!("`{}`", component.name)));
        format!("there is no module `{module}`; known here: {}", known.join(", "))
    }
}

impl Component {
    /// The named errors of its functions, or of those of one interface.
    fn errors(&self, interface: Option<&str>) -> Vec<(String, Vec<usize>)> {
        let mut errors: Vec<(String, Vec<usize>)> = Vec::new();
        for (number, export) in self.artifact.info.exports.iter().enumerate() {
            let Some(name) = export.kind.error_name() else { continue };
            if interface.is_some() && export.interface.as_deref() != interface {
                continue;
            }
            match errors.iter_mut().find(|(known, _)| known == name) {
                Some((_, functions)) => functions.push(number),
                None => errors.push((name.to_owned(), vec![number])),
            }
        }
        errors
    }
}

/// The module and the function of an entry. What follows the last colon is no function if it could
/// not be one's name: an interface such as `local:demo/shapes` has a colon of its own.
fn split(entry: &str) -> (&str, Option<&str>) {
    match entry.rsplit_once(':') {
        Some((module, function)) if !function.contains(['/', '@']) => (module, Some(function)),
        _ => (entry, None),
    }
}

/// Whether two names are the same to users: `_` and `-` are.
fn same(a: &str, b: &str) -> bool {
    a.replace('_', "-") == b.replace('_', "-")
}

#[cfg(test)]
mod tests {
    use greenroom_engine::{Export, FunctionType, ValueType};

    use super::*;

    fn component(name: &str, exports: &[(Option<&str>, &str)]) -> Component {
        let export = |(interface, function): &(Option<&str>, &str)| Export {
            interface: interface.map(str::to_owned),
            function: (*function).to_owned(),
            kind: ExportKind::Portal,
        };
        let info =
            ComponentInfo { exports: exports.iter().map(export).collect(), ..ComponentInfo::default() };
        let code = tempfile::tempfile().expect("a file");
        let options = ModuleOptions::default();
        Component { name: name.to_owned(), artifact: Artifact { code, info }, options }
    }

    fn catalogue() -> Catalogue {
        let app = component("app", &[(None, "main"), (Some("math"), "square"), (Some("math"), "cube-root")]);
        let tools = component("tools", &[(Some("text"), "count"), (Some("math"), "halve")]);
        Catalogue { components: vec![app, tools] }
    }

    fn resolve(entries: &[&str], own: &[usize]) -> Result<Resolved, String> {
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        catalogue().resolve(&entries, own)
    }

    #[test]
    fn an_actors_own_interfaces_come_first() {
        for (own, component) in [(&[0][..], 0), (&[1], 1), (&[1, 0], 1)] {
            let resolved = resolve(&["math"], own).expect("resolves");
            assert_eq!(resolved.components, [component]);
            assert_eq!(resolved.modules[0].interface.as_deref(), Some("math"));
        }
        assert_eq!(resolve(&["tools/math"], &[0]).expect("resolves").components, [1]);
        let whole = resolve(&["tools"], &[0]).expect("resolves");
        assert_eq!((whole.components, whole.modules[0].interface.clone()), (vec![1], None));
    }

    #[test]
    fn entries_for_one_module_are_put_together() {
        let resolved = resolve(&["math:square", "math:cube_root", "tools"], &[0]).expect("resolves");
        assert_eq!(resolved.components, [0, 1]);
        assert_eq!(resolved.modules.len(), 2);
        let functions = resolved.modules[0].functions.clone().expect("only some");
        assert_eq!(functions, ["square", "cube_root"]);
        let whole = resolve(&["math:square", "math"], &[0]).expect("resolves");
        assert_eq!(whole.modules[0].functions, None);
    }

    #[test]
    fn an_interface_of_a_package_goes_by_shorter_names() {
        let shapes = Some("local:demo/shapes@0.1.0");
        let own = component("own", &[(shapes, "area"), (Some("local:demo/text"), "count")]);
        let other = component("other", &[(Some("a:b/text"), "count"), (Some("c:d/text"), "count")]);
        let catalogue = Catalogue { components: vec![own, other] };
        let resolve = |entry: &str, own: &[usize]| catalogue.resolve(&[entry.to_owned()], own);
        for name in ["local:demo/shapes@0.1.0", "local:demo/shapes", "shapes"] {
            for (entry, functions) in [(name.to_owned(), None), (format!("{name}:area"), Some(vec!["area"]))]
            {
                let resolved = resolve(&entry, &[0]).expect("an interface of its own");
                assert_eq!(resolved.modules[0].name, name);
                assert_eq!(resolved.modules[0].interface.as_deref(), shapes);
                let functions = functions.map(|all| all.into_iter().map(str::to_owned).collect());
                assert_eq!(resolved.modules[0].functions, functions);
                let resolved = resolve(&format!("own/{entry}"), &[]).expect("an interface of a component");
                assert_eq!(resolved.modules[0].interface.as_deref(), shapes);
            }
        }
        assert!(resolve("other/a:b/text", &[]).is_ok());
        assert!(resolve("other/text", &[]).is_err(), "there are two");
    }

    #[test]
    fn errors_go_by_the_numbers_of_their_functions() {
        let point = ValueType::Record { name: Some("trouble".to_owned()), fields: Vec::new() };
        let fails = ValueType::Result { ok: None, err: Some(Box::new(point)) };
        let mut own = component("own", &[(Some("a"), "x"), (Some("a"), "y"), (Some("b"), "z")]);
        for number in [1, 2] {
            let ty = FunctionType { params: Vec::new(), result: Some(fails.clone()) };
            own.artifact.info.exports[number].kind = ExportKind::Plain(ty);
        }
        let catalogue = Catalogue { components: vec![own] };
        for (entry, numbers) in [("own", vec![1, 2]), ("own/a", vec![1]), ("own/b", vec![2])] {
            let resolved = catalogue.resolve(&[entry.to_owned()], &[]).expect("it resolves");
            assert_eq!(resolved.modules[0].errors, [("trouble".to_owned(), numbers)], "{entry}");
        }
    }

    #[test]
    fn what_there_is_not_is_named() {
        let error = resolve(&["maths"], &[0]).expect_err("no such module");
        assert_eq!(error, "there is no module `maths`; known here: `math`, `app`, `tools`");
        let error = resolve(&["math:squared"], &[0]).expect_err("no such function");
        assert_eq!(error, "no callable function `squared` for entry `math:squared`");
    }
    #[test]
    fn what_is_enabled_is_what_can_be_called() {
        let functions = |entries: &[&str]| {
            let resolved = resolve(entries, &[0]).expect("resolves");
            let functions = catalogue().functions(&resolved.components, &resolved.modules);
            functions.into_iter().map(|function| function.name).collect::<Vec<_>>()
        };
        assert_eq!(functions(&["math"]), ["math:square", "math:cube-root"]);
        assert_eq!(functions(&["math:cube_root"]), ["math:cube-root"]);
        assert_eq!(
            functions(&["app", "tools/text"]),
            ["app:main", "app/math:square", "app/math:cube-root", "tools/text:count"]
        );
    }
}
