//! `#[module]`: an inline module whose public functions are exported.
//!
//! Owns: which items of the module are exported, and what is added to it. Must not know: the
//! details of one function.

use std::collections::HashMap;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote};
use syn::{Ident, Item, ItemFn, ItemMod, Visibility, spanned::Spanned as _};

use crate::function::{Errors, Function, marks_context};
use crate::name::{bound, exported};
use crate::{expand, signature, wit};

/// The module with everything added that makes its functions callable.
pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    if !attribute.is_empty() {
        return Err(syn::Error::new(attribute.span(), "`module` takes no arguments"));
    }
    let mut module: ItemMod = syn::parse2(item).map_err(|error| {
        syn::Error::new(error.span(), "`module` belongs on an inline module: `mod name { … }`")
    })?;
    let name = exported(&module.ident)?;
    let Some((_, items)) = &mut module.content else {
        return Err(syn::Error::new(
            module.span(),
            "write the module's functions inline, `mod name { … }`: a macro cannot see into another file",
        ));
    };
    let functions = functions(items, module.ident.span())?;

    for item in items.iter_mut() {
        if let Item::Fn(item) = item
            && is_exported(item)
        {
            item.attrs.retain(|attribute| !marks_context(attribute));
        }
    }
    for function in &functions {
        let ident = &function.ident;
        items.push(Item::Verbatim(expand::arguments(ident, function, false)));
        items.push(Item::Verbatim(expand::call(&name, function)));
        items.push(Item::Verbatim(expand::endpoint(ident, function)));
    }
    items.push(Item::Verbatim(handle(&name, &functions)));
    items.push(Item::Verbatim(component(&name, &functions)));
    Ok(module.into_token_stream())
}

fn is_exported(item: &ItemFn) -> bool {
    matches!(item.vis, Visibility::Public(_))
}

/// The functions to export, or all errors in them.
fn functions(items: &[Item], module: Span) -> syn::Result<Vec<Function>> {
    let mut errors = Errors::default();
    let mut seen: HashMap<String, Span> = HashMap::new();
    let mut functions = Vec::new();
    for item in items {
        let Item::Fn(item) = item else { continue };
        if !is_exported(item) {
            continue;
        }
        let Some(function) = errors.keep(Function::read(item)) else { continue };
        if seen.insert(function.name.clone(), function.ident.span()).is_some() {
            errors.say(function.ident.span(), &format!("`{}` is exported twice", function.name));
        }
        functions.push(function);
    }
    errors.into_result()?;
    if functions.is_empty() {
        return Err(syn::Error::new(
            module,
            "the module exports nothing: it has no `pub fn` or `pub async fn`",
        ));
    }
    Ok(functions)
}

/// The constant by which the module is enabled in an actor.
fn handle(name: &str, functions: &[Function]) -> TokenStream {
    let names = functions.iter().map(|function| &function.name);
    quote! {
        /// This module, for a list of modules to enable.
        #[allow(unreachable_pub, dead_code, reason = "not every module is named in its own crate")]
        pub const MODULE: ::greenroom_guest::Module =
            ::greenroom_guest::__private::module(#name, &[#(#names),*]);
    }
}

fn component(name: &str, functions: &[Function]) -> TokenStream {
    let interface = bound(name);
    let exports: Vec<_> = functions
        .iter()
        .map(|function| {
            let ident = &function.ident;
            (function, quote!(super::#ident))
        })
        .collect();
    let signatures: Vec<_> = functions.iter().map(|function| signature::line(name, function)).collect();
    expand::component(
        &Ident::new("__greenroom", Span::call_site()),
        &wit::module(name, functions),
        &quote!(exports::#interface::Guest),
        &exports,
        &signatures,
    )
}
