//! What a component is, seen from outside.
//!
//! Owns: its exports, its imports, and which of them can be served. Must not know: instances.
//! Invariant: an export counts as callable only if its type is that of a portal function.

use std::collections::HashSet;

use greenroom_abi::FunctionName;
use serde::{Deserialize, Serialize};
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, Type};

use crate::engine::Engine;
use crate::signature::{self, Signature};

/// One exported function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The interface it is in; none for a function of the world itself.
    pub interface: Option<String>,
    /// Its name, in kebab-case.
    pub function: String,
    /// Whether its type is that of a portal function.
    pub callable: bool,
}

/// What the broker must know of a component without running it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentInfo {
    /// Its exported functions.
    pub exports: Vec<Export>,
    /// The interfaces and functions it imports.
    pub imports: Vec<String>,
    /// Why it cannot be linked, if it cannot: it imports what no host offers.
    pub unlinkable: Option<String>,
    /// What it says of its functions.
    pub signatures: Vec<Signature>,
}

impl ComponentInfo {
    pub(crate) fn of(engine: &Engine, component: &Component, wasm: &[u8]) -> wasmtime::Result<Self> {
        let kind = component.component_type();
        let unlinkable =
            engine.linker()?.instantiate_pre(component).err().map(|error| format!("{:#}", Chain(&error)));
        Ok(Self {
            exports: exports(engine, component),
            imports: kind
                .imports(&engine.wasmtime)
                .filter(|(_, item)| !matches!(item.ty, ComponentItem::Type(_) | ComponentItem::Resource(_)))
                .map(|(name, _)| name.to_owned())
                .collect(),
            unlinkable,
            signatures: signature::read(wasm),
        })
    }

    /// The interfaces that have callable functions, in order.
    pub fn interfaces(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        let callable = self.exports.iter().filter(|export| export.callable);
        callable.filter_map(|export| export.interface.as_deref()).filter(|name| seen.insert(*name)).collect()
    }

    /// Whether it has a callable `main`.
    pub fn has_main(&self) -> bool {
        self.exports.iter().any(|e| e.callable && e.interface.is_none() && e.function == "main")
    }

    /// What it says of one function.
    pub fn signature(&self, module: &str, function: &str) -> Option<&Signature> {
        self.signatures.iter().find(|s| same_name(&s.module, module) && same_name(&s.function, function))
    }
}

/// The exported functions of a component.
pub(crate) fn exports(engine: &Engine, component: &Component) -> Vec<Export> {
    let engine = &engine.wasmtime;
    let mut found = Vec::new();
    for (name, item) in component.component_type().exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(func) => {
                let callable = is_portal_function(&func);
                found.push(Export { interface: None, function: name.to_owned(), callable });
            }
            ComponentItem::ComponentInstance(instance) => {
                for (function, item) in instance.exports(engine) {
                    if let ComponentItem::ComponentFunc(func) = item.ty {
                        found.push(Export {
                            interface: Some(name.to_owned()),
                            function: function.to_owned(),
                            callable: is_portal_function(&func),
                        });
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// `async func(ctx: context, kwargs: payload) -> result<payload, remote-error>`.
fn is_portal_function(func: &ComponentFunc) -> bool {
    let bytes = |ty: &Type| matches!(ty, Type::List(list) if list.ty() == Type::U8);
    let params: Vec<Type> = func.params().map(|(_, ty)| ty).collect();
    let results: Vec<Type> = func.results().collect();
    let takes = matches!(&params[..], [Type::Own(_), kwargs] if bytes(kwargs));
    let gives = matches!(&results[..], [Type::Result(result)]
        if result.ok().is_some_and(|ok| bytes(&ok)) && matches!(result.err(), Some(Type::Record(_))));
    func.async_() && takes && gives
}

/// Whether two names are the same to callers: `_` and `-` are.
pub(crate) fn same_name(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| plain(a) == plain(b))
}

/// A function name in the form under which it is looked up.
pub(crate) fn canonical(name: &FunctionName<'_>) -> String {
    format!("{name}").bytes().map(|byte| char::from(plain(byte))).collect()
}

fn plain(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte }
}

/// An error with its causes on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a wasmtime::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut separator = "";
        for cause in self.0.chain() {
            write!(f, "{separator}{cause}")?;
            separator = ": ";
        }
        Ok(())
    }
}
