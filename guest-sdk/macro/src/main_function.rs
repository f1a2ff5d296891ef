//! `#[main]`: a function exported as the application's entry.
//!
//! Owns: what stands beside it. Must not know: the details of a signature.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Ident, ItemFn, spanned::Spanned as _};

use crate::function::Function;
use crate::{expand, signature, wit};

/// The function, and what exports it.
pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    if !attribute.is_empty() {
        return Err(syn::Error::new(attribute.span(), "`main` takes no arguments"));
    }
    let item: ItemFn = syn::parse2(item)
        .map_err(|error| syn::Error::new(error.span(), "`main` belongs on a function: `async fn main(…)`"))?;
    if item.sig.ident != "main" {
        return Err(syn::Error::new(item.sig.ident.span(), "an application's entry is called `main`"));
    }
    let function = Function::read(&item)?;
    if function.dialog.is_some() {
        return Err(syn::Error::new(
            item.sig.ident.span(),
            "an application's entry has no caller to talk with: `main` cannot be a `#[context]` function",
        ));
    }
    let call = Ident::new("__GreenroomMain", Span::call_site());
    let arguments = expand::arguments(&call, &function, true);
    let endpoint = expand::endpoint(&call, &function);
    let component = expand::component(
        &Ident::new("__greenroom_main", Span::call_site()),
        &wit::main(),
        &quote!(Guest),
        &[(&function, quote!(super::#call))],
        &[signature::line("", &function)],
    );
    Ok(quote! {
        #[allow(dead_code, reason = "only the component calls it")]
        #item
        #arguments
        #endpoint
        #component
    })
}
