//! What a component is, seen from outside.
//!
//! Owns: its exports, its imports, and which of them can be served. Must not know: instances.
//! Invariant: an export is callable if its type is that of a portal function, or if all it takes
//! and gives are values.

use std::borrow::Cow;
use std::collections::HashSet;

use greenroom_wire::control::Rights;
use serde::{Deserialize, Serialize};
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, Type};

use crate::engine::Engine;
use crate::signature::{self, Signature};
use crate::value::{FunctionType, Text, ValueType, function_type};

/// One exported function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The interface it is in; none for a function of the world itself.
    pub interface: Option<String>,
    /// Its name, in kebab-case.
    pub function: String,
    /// How it can be called, if it can.
    pub kind: ExportKind,
}

/// What an exported function is to a caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExportKind {
    /// Written for Greenroom: it takes a context and one payload.
    Portal,
    /// Of value types only: anybody's, and callable all the same.
    Plain(FunctionType),
    /// Nobody outside the component can call it.
    Uncallable {
        /// Why, in words that follow the function's name.
        reason: String,
    },
}

impl ExportKind {
    /// Whether it can be called.
    pub fn is_callable(&self) -> bool {
        !matches!(self, Self::Uncallable { .. })
    }

    /// The name of the error that it returns, if its component gave it one.
    pub fn error_name(&self) -> Option<&str> {
        match self {
            Self::Plain(FunctionType { result: Some(ValueType::Result { err: Some(err), .. }), .. }) => {
                err.name()
            }
            _ => None,
        }
    }
}

impl Export {
    /// Whether it can be called.
    pub fn is_callable(&self) -> bool {
        self.kind.is_callable()
    }
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
        let unlinkable = engine
            .linker(&Rights::all())?
            .instantiate_pre(component)
            .err()
            .map(|error| format!("{:#}", Chain(&error)));
        let mut exports = exports(engine, component);
        if let Some(text) = Text::read(wasm) {
            for Export { interface, function, kind } in &mut exports {
                if let ExportKind::Plain(ty) = kind {
                    text.name(interface.as_deref(), function, ty);
                }
            }
        }
        Ok(Self {
            exports,
            imports: kind
                .imports(&engine.wasmtime)
                .filter(|(_, item)| asks(engine, &item.ty))
                .map(|(name, _)| name.to_owned())
                .collect(),
            unlinkable,
            signatures: signature::read(wasm),
        })
    }

    /// The interfaces that have callable functions, in order.
    pub fn interfaces(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        let callable = self.exports.iter().filter(|export| export.is_callable());
        callable.filter_map(|export| export.interface.as_deref()).filter(|name| seen.insert(*name)).collect()
    }

    /// The interface with callable functions that goes by this name: its own, or one of the
    /// short forms that no other has.
    pub fn interface(&self, wanted: &str) -> Option<&str> {
        let all = self.interfaces();
        let exact = all.iter().find(|name| same_name(name, wanted)).copied();
        exact.or_else(|| {
            let mut short = all.iter().filter(|name| short_names(name).any(|short| same_name(short, wanted)));
            short.next().copied().filter(|_| short.next().is_none())
        })
    }

    /// Whether it has a callable `main`.
    pub fn has_main(&self) -> bool {
        self.exports.iter().any(|e| e.is_callable() && e.interface.is_none() && e.function == "main")
    }

    /// What it says of one function.
    pub fn signature(&self, module: &str, function: &str) -> Option<&Signature> {
        self.signatures.iter().find(|s| same_name(&s.module, module) && same_name(&s.function, function))
    }
}

/// Whether there is anything to this import that a host must offer: to name types is to ask for
/// nothing.
fn asks(engine: &Engine, import: &ComponentItem) -> bool {
    match import {
        ComponentItem::Type(_) | ComponentItem::Resource(_) => false,
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(&engine.wasmtime).any(|(_, item)| !matches!(item.ty, ComponentItem::Type(_)))
        }
        _ => true,
    }
}

/// The exported functions of a component, always in the same order; types have no names.
pub(crate) fn exports(engine: &Engine, component: &Component) -> Vec<Export> {
    let engine = &engine.wasmtime;
    let mut found = Vec::new();
    for (name, item) in component.component_type().exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(func) => {
                found.push(Export { interface: None, function: name.to_owned(), kind: kind_of(&func) });
            }
            ComponentItem::ComponentInstance(instance) => {
                for (function, item) in instance.exports(engine) {
                    if let ComponentItem::ComponentFunc(func) = item.ty {
                        found.push(Export {
                            interface: Some(name.to_owned()),
                            function: function.to_owned(),
                            kind: kind_of(&func),
                        });
                    }
                }
            }
            _ => {}
        }
    }
    found
}

fn kind_of(func: &ComponentFunc) -> ExportKind {
    if is_portal_function(func) {
        return ExportKind::Portal;
    }
    function_type(func).map_or_else(|reason| ExportKind::Uncallable { reason }, ExportKind::Plain)
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

/// The shorter names of an interface: without its version, and without its package.
pub(crate) fn short_names(interface: &str) -> impl Iterator<Item = &str> {
    let unversioned = interface.split_once('@').map(|(name, _)| name);
    let bare = interface.rsplit_once('/').map(|(_, name)| name.split('@').next().unwrap_or(name));
    unversioned.into_iter().chain(bare)
}

/// Whether two names are the same to callers: `_` and `-` are.
pub(crate) fn same_name(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| plain(a) == plain(b))
}

/// A function name in the form under which it is looked up.
pub(crate) fn canonical(name: &str) -> Cow<'_, str> {
    if name.contains('_') { Cow::Owned(name.replace('_', "-")) } else { Cow::Borrowed(name) }
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
