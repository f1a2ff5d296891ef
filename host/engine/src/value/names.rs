//! The names of types, which only a component's own text has.
//!
//! Owns: reading the WIT out of a component and entering its names into types. Must not know:
//! wasmtime. Invariant: names are for people and for errors: a component whose text cannot be read
//! is as callable as any other.

use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{Function, Resolve, Type, TypeDefKind, WorldId, WorldItem};

use super::types::{FunctionType, ValueType};

/// The WIT of a component.
pub(crate) struct Text {
    resolve: Resolve,
    world: WorldId,
}

impl Text {
    /// Reads it, if it can be read.
    pub(crate) fn read(wasm: &[u8]) -> Option<Self> {
        // The decoder asserts what it has not checked; a component may be anybody's.
        match std::panic::catch_unwind(|| decode(wasm)).ok()?.ok()? {
            DecodedWasm::Component(resolve, world) => Some(Self { resolve, world }),
            DecodedWasm::WitPackage(..) => None,
        }
    }

    /// Enters the names into the type of one exported function.
    pub(crate) fn name(&self, interface: Option<&str>, function: &str, ty: &mut FunctionType) {
        let Some(text) = self.function(interface, function) else { return };
        for ((_, ty), param) in ty.params.iter_mut().zip(&text.params) {
            self.enter(ty, &param.ty);
        }
        if let (Some(ty), Some(result)) = (&mut ty.result, &text.result) {
            self.enter(ty, result);
        }
    }

    fn function(&self, interface: Option<&str>, function: &str) -> Option<&Function> {
        let exports = &self.resolve.worlds[self.world].exports;
        let mut named = exports
            .iter()
            .filter(|(key, _)| self.resolve.name_world_key(key) == interface.unwrap_or(function));
        match (named.next()?.1, interface) {
            (WorldItem::Function(found), None) => Some(found),
            (WorldItem::Interface { id, .. }, Some(_)) => {
                self.resolve.interfaces[*id].functions.get(function)
            }
            _ => None,
        }
    }

    fn enter(&self, ty: &mut ValueType, text: &Type) {
        let Type::Id(id) = text else { return };
        let text = &self.resolve.types[*id];
        match (ty, &text.kind) {
            (ty, TypeDefKind::Type(aliased)) => self.enter(ty, aliased),
            (ValueType::List(ty), TypeDefKind::List(text))
            | (ValueType::Option(ty), TypeDefKind::Option(text)) => self.enter(ty, text),
            (ValueType::Tuple(types), TypeDefKind::Tuple(text)) => {
                types.iter_mut().zip(&text.types).for_each(|(ty, text)| self.enter(ty, text));
            }
            (ValueType::Record { name, fields }, TypeDefKind::Record(record)) => {
                name.clone_from(&text.name);
                for ((_, ty), field) in fields.iter_mut().zip(&record.fields) {
                    self.enter(ty, &field.ty);
                }
            }
            (ValueType::Variant { name, cases }, TypeDefKind::Variant(variant)) => {
                name.clone_from(&text.name);
                for ((_, ty), case) in cases.iter_mut().zip(&variant.cases) {
                    self.enter_some(ty.as_mut(), case.ty.as_ref());
                }
            }
            (ValueType::Enum { name, .. }, TypeDefKind::Enum(_))
            | (ValueType::Flags { name, .. }, TypeDefKind::Flags(_)) => name.clone_from(&text.name),
            (ValueType::Result { ok, err }, TypeDefKind::Result(text)) => {
                self.enter_some(ok.as_deref_mut(), text.ok.as_ref());
                self.enter_some(err.as_deref_mut(), text.err.as_ref());
            }
            _ => {}
        }
    }

    fn enter_some(&self, ty: Option<&mut ValueType>, text: Option<&Type>) {
        if let (Some(ty), Some(text)) = (ty, text) {
            self.enter(ty, text);
        }
    }
}
