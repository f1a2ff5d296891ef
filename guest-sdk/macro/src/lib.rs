//! The attribute macros of `greenroom-guest`: `#[module]` with `#[context]`, and `#[main]`.
//!
//! Owns: reading a module's functions and writing the code that serves them. Must not know: how
//! a call is decoded or a task is run; the generated code names hidden items of the SDK for that.
//! Invariant: a function is never changed; everything generated stands beside it.

mod expand;
mod function;
mod main_function;
mod module;
mod name;
mod signature;
mod wit;

use proc_macro::TokenStream;
use proc_macro2::Span;

/// Exports the public functions of an inline module, so that other actors may call them.
///
/// The module becomes a WIT interface of the same name, each `pub fn` or `pub async fn` in it a
/// portal function; private functions stay private. Beside each function stands a struct of the
/// same name that holds its arguments and implements `Call`, and beside all of them `MODULE`.
///
/// Names are written in snake case (`word_count`), which the component spells in WIT's kebab
/// case (`word-count`); the host takes either.
///
/// A function takes owned values whose types implement `serde::de::DeserializeOwned` (and
/// `Serialize`, for callers), an `Option` being an argument that may be left out. It returns a
/// `Serialize` value, or a `Result` whose error converts into `Fault`.
#[proc_macro_attribute]
pub fn module(attribute: TokenStream, item: TokenStream) -> TokenStream {
    module::expand(attribute.into(), item.into()).unwrap_or_else(|e| e.to_compile_error()).into()
}

/// Marks a function of a `#[module]` as one that is called through a context: it may give its caller
/// a first value and exchange messages with it before it returns.
///
/// Such a function is async, and its first parameter is a `Context<First, Sends, Receives>`: the
/// types of the first value, of what the function sends, and of what it receives. The remaining
/// parameters are arguments as those of any other function. The struct beside it implements
/// `ContextCall` in place of `Call`.
#[proc_macro_attribute]
pub fn context(attribute: TokenStream, item: TokenStream) -> TokenStream {
    // `#[module]` takes the attribute away from the functions it may stand on.
    let (_, mut item) = (attribute, item);
    let error = syn::Error::new(
        Span::call_site(),
        "`context` belongs on a `pub async fn` directly inside a `#[module]`",
    );
    item.extend(TokenStream::from(error.to_compile_error()));
    item
}

/// Exports a function as the application's entry: what `greenroom run` calls.
///
/// The same rules hold as for a function of a `#[module]`.
#[proc_macro_attribute]
pub fn main(attribute: TokenStream, item: TokenStream) -> TokenStream {
    main_function::expand(attribute.into(), item.into()).unwrap_or_else(|e| e.to_compile_error()).into()
}
