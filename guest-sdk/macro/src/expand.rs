//! The code beside a function: the struct of its arguments, and what serves it.
//!
//! Owns: the generated Rust. Must not know: how the function was checked. Invariant: all paths
//! into the SDK go through its hidden `__private`, so an author needs no other dependency.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;

use crate::function::{Dialog, Function, Output, output_text, type_text};
use crate::name::bound;

/// The struct of a function's arguments, which serves as the function's name in typed calls.
pub(crate) fn arguments(call: &Ident, function: &Function, hidden: bool) -> TokenStream {
    let fields = function.arguments.iter().map(|argument| {
        let (ident, ty) = (&argument.ident, &argument.ty);
        let doc = format!("The argument `{}`.", argument.name);
        let skip = argument.optional.then(|| quote!(#[serde(skip_serializing_if = "Option::is_none")]));
        quote!(#[doc = #doc] #skip pub #ident: #ty)
    });
    let doc = format!("A call of `{}`, with its arguments by keyword.", function.name);
    let docs = if hidden { quote!(#[doc(hidden)]) } else { quote!(#[doc = #doc]) };
    quote! {
        #docs
        #[allow(non_camel_case_types, unreachable_pub, reason = "it bears the name of the function")]
        #[allow(dead_code, reason = "not every function is called from its own crate")]
        #[derive(::greenroom_guest::__private::serde::Serialize)]
        #[serde(crate = "::greenroom_guest::__private::serde")]
        pub struct #call { #(#fields),* }
    }
}

/// What makes the struct a typed call of a module's function, or of a context.
pub(crate) fn call(module: &str, function: &Function) -> TokenStream {
    let ident = &function.ident;
    let name = &function.name;
    let output = match &function.output {
        Output::Unit => quote!(()),
        Output::Value(ty) | Output::Fallible(ty) => quote!(#ty),
    };
    let Some(dialog) = &function.dialog else {
        return quote! {
            impl ::greenroom_guest::Call for #ident {
                const MODULE: &'static str = #module;
                const FUNCTION: &'static str = #name;
                type Output = #output;
            }
        };
    };
    let Dialog { first, sends, receives } = dialog;
    let texts = [first, sends, receives].map(type_text);
    let [first_text, sends_text, receives_text] = &texts;
    let output_text = output_text(&function.output);
    quote! {
        impl ::greenroom_guest::Contract for #ident {
            type First = #first;
            type Sends = #sends;
            type Receives = #receives;
            type Output = #output;

            fn types() -> ::greenroom_guest::__private::Types {
                ::greenroom_guest::__private::Types {
                    first: #first_text,
                    sends: #sends_text,
                    receives: #receives_text,
                    output: #output_text,
                }
            }
        }

        impl ::greenroom_guest::ContextCall for #ident {
            const MODULE: &'static str = #module;
            const FUNCTION: &'static str = #name;
        }
    }
}

/// What decodes the arguments and runs the function.
pub(crate) fn endpoint(call: &Ident, function: &Function) -> TokenStream {
    let ident = &function.ident;
    let names: Vec<_> = function.arguments.iter().map(|a| &a.ident).collect();
    let takes = function.arguments.iter().map(|argument| {
        let (ident, name, ty) = (&argument.ident, &argument.name, &argument.ty);
        let take = if argument.optional { quote!(take_optional) } else { quote!(take) };
        quote!(let #ident = arguments.#take::<#ty>(#name);)
    });
    let awaited = function.is_async.then(|| quote!(.await));
    let no_result = match &function.output {
        Output::Value(ty) => Some(quote_spanned! {ty.span()=>
            const _: () = <#ty as ::greenroom_guest::__private::WriteTheReturnTypeAsResult<_>>::SEEN;
        }),
        Output::Unit | Output::Fallible(_) => None,
    };
    // With the span of the type, so that an error about it points there.
    let outcome = match &function.output {
        Output::Unit => quote!(::greenroom_guest::__private::Outcome::value),
        Output::Value(ty) => quote_spanned!(ty.span()=> ::greenroom_guest::__private::Outcome::value),
        Output::Fallible(ty) => quote_spanned!(ty.span()=> ::greenroom_guest::__private::Outcome::result),
    };
    let invoked = match &function.dialog {
        None => quote!(#outcome(#ident(#(self.#names),*)#awaited)),
        Some(_) => quote! {
            ::greenroom_guest::__private::in_context::<Self>(async move |context| {
                #outcome(#ident(context, #(self.#names),*)#awaited)
            })
            .await
        },
    };
    quote! {
        #no_result

        impl ::greenroom_guest::__private::Endpoint for #call {
            fn decode(
                mut arguments: ::greenroom_guest::__private::Arguments<'_>,
            ) -> ::core::result::Result<Self, ::greenroom_guest::kind::BadArguments> {
                #(#takes)*
                arguments.finish()?;
                ::core::result::Result::Ok(Self { #(#names: #names.get()),* })
            }

            async fn invoke(self) -> ::greenroom_guest::__private::Outcome {
                #invoked
            }
        }
    }
}

/// The component's side: bindings for `wit`, the exports, and the signatures.
///
/// `guest` is the path of wit-bindgen's trait and `exports` pairs each function's WIT name with
/// the path of its argument struct, both as seen from inside the hidden module.
pub(crate) fn component(
    hidden: &Ident,
    wit: &str,
    guest: &TokenStream,
    exports: &[(&Function, TokenStream)],
    signatures: &[String],
) -> TokenStream {
    let methods = exports.iter().map(|(function, call)| {
        let method = bound(&function.name);
        quote! {
            async fn #method(
                context: ::greenroom_guest::__private::bindings::context::Context,
                kwargs: ::std::vec::Vec<u8>,
            ) -> ::core::result::Result<
                ::std::vec::Vec<u8>,
                ::greenroom_guest::__private::bindings::types::RemoteError,
            > {
                ::greenroom_guest::__private::serve::<#call>(context, kwargs).await
            }
        }
    });
    let lines = signatures.iter().map(|line| {
        let (bytes, length) = (Literal::byte_string(line.as_bytes()), line.len());
        quote! {
            const _: () = {
                #[unsafe(link_section = "greenroom:signatures")]
                static SIGNATURE: [u8; #length] = *#bytes;
            };
        }
    });
    quote! {
        #[cfg(target_family = "wasm")]
        #[doc(hidden)]
        #[allow(unsafe_code, unreachable_pub, missing_docs, clippy::all, clippy::pedantic,
            clippy::allow_attributes_without_reason, reason = "generated: the component boundary")]
        mod #hidden {
            ::greenroom_guest::__private::wit_bindgen::generate!({
                inline: #wit,
                runtime_path: "::greenroom_guest::__private::wit_bindgen::rt",
                with: {
                    "greenroom:portal/types@0.1.0": ::greenroom_guest::__private::bindings::types,
                    "greenroom:portal/streams@0.1.0": ::greenroom_guest::__private::bindings::streams,
                    "greenroom:portal/context@0.1.0": ::greenroom_guest::__private::bindings::context,
                },
            });

            struct Exports;

            impl #guest for Exports {
                #(#methods)*
            }

            export!(Exports);

            #(#lines)*
        }
    }
}
