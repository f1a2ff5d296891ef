//! The components of a run, and what a module's name means to an actor.
//!
//! Owns: which component files there are and how `enable_modules` entries are resolved. Must
//! not know: actors. Invariant: a name that cannot be resolved fails before any process exists.
//!
//! An entry is `module` or `module:function`. Its module is, in this order: an interface that
//! one of the asking actor's own components exports; a component's name; or
//! `component/interface`.

use std::os::fd::OwnedFd;
use std::path::Path;

use greenroom_engine::{Artifact, Cache, ComponentInfo, Engine, LoadError};
use greenroom_wire::control::EnabledModule;

/// The components of a run, by number.
#[derive(Debug, Default)]
pub struct Catalogue {
    components: Vec<Component>,
}

#[derive(Debug)]
struct Component {
    name: String,
    artifact: Artifact,
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
    pub fn add(&mut self, cache: &Cache, engine: &Engine, name: &str, path: &Path) -> Result<&ComponentInfo, LoadError> {
        let artifact = cache.load(engine, path)?;
        if let Some(reason) = &artifact.info.unlinkable {
            return Err(LoadError::Compile { path: path.to_owned(), reason: reason.clone() });
        }
        self.components.push(Component { name: name.to_owned(), artifact });
        Ok(&self.components[self.components.len() - 1].artifact.info)
    }

    /// Resolves what an actor, which itself runs the components `own`, wants a child to run.
    ///
    /// # Errors
    /// Why, in words, naming the entry.
    pub(crate) fn resolve(&self, entries: &[String], own: &[usize]) -> Result<Resolved, String> {
        let mut resolved = Resolved::default();
        for entry in entries {
            let (module, function) = match entry.split_once(':') {
                Some((module, function)) => (module, Some(function)),
                None => (entry.as_str(), None),
            };
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
                    interface,
                    functions: function.map(|function| vec![function.to_owned()]),
                }),
            }
        }
        Ok(resolved)
    }

    /// The compiled code of a component, to be sent to an actor.
    pub(crate) fn code(&self, component: usize) -> std::io::Result<OwnedFd> {
        Ok(self.components[component].artifact.code.try_clone()?.into())
    }

    fn find(&self, module: &str, own: &[usize]) -> Option<(usize, Option<String>)> {
        let exports = |number: usize, wanted: &str| {
            let interfaces = self.components[number].artifact.info.interfaces();
            interfaces.into_iter().find(|name| same(name, wanted)).map(str::to_owned)
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
            export.callable && inside && same(&export.function, function)
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

/// Whether two names are the same to users: `_` and `-` are.
fn same(a: &str, b: &str) -> bool {
    a.replace('_', "-") == b.replace('_', "-")
}
