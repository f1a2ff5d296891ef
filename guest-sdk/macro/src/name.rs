//! Names: from Rust's snake case to WIT's kebab case.
//!
//! Owns: which Rust names can be exported, and how they are spelled in WIT. Must not know: what
//! bears the name. Invariant: the two spellings differ in `_` and `-` only.

use proc_macro2::Span;
use syn::{Ident, ext::IdentExt as _};

/// Names that the interface around every portal function already uses.
const TAKEN: &[&str] = &["context", "payload", "remote_error"];

/// A keyword since Rust 2024 that wit-bindgen does not yet escape.
const UNESCAPED: &str = "gen";

/// The name as its author wrote it, without the `r#` of a raw identifier, if WIT can spell it.
pub(crate) fn exported(ident: &Ident) -> syn::Result<String> {
    let name = ident.unraw().to_string();
    let well_formed = name.split('_').all(|word| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    });
    if !well_formed {
        return Err(syn::Error::new(
            ident.span(),
            format!(
                "`{name}` cannot be exported: write words of lower-case letters and digits, each \
                 beginning with a letter, joined by single underscores"
            ),
        ));
    }
    if TAKEN.contains(&name.as_str()) {
        return Err(syn::Error::new(
            ident.span(),
            format!("`{name}` cannot be exported: every interface already uses this name for a type"),
        ));
    }
    if name == UNESCAPED {
        return Err(syn::Error::new(ident.span(), format!("`{name}` cannot be exported: it is a keyword")));
    }
    Ok(name)
}

/// The identifier that wit-bindgen gives to an exported name: the name itself, or with an
/// underscore behind it where it is a keyword.
pub(crate) fn bound(name: &str) -> Ident {
    let keyword = syn::parse_str::<Ident>(name).is_err();
    let bound = if keyword { format!("{name}_") } else { name.to_owned() };
    Ident::new(&bound, Span::call_site())
}

/// The name in WIT's spelling.
pub(crate) fn kebab(name: &str) -> String {
    name.replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_wit_can_spell() {
        for name in ["square", "word_count", "sha256", "a"] {
            assert_eq!(exported(&syn::parse_str(name).expect("ident")).expect("exported"), name);
        }
        assert_eq!(exported(&syn::parse_str("r#type").expect("ident")).expect("exported"), "type");
        assert_eq!(kebab("word_count"), "word-count");
    }

    #[test]
    fn follows_wit_bindgen() {
        for (name, ident) in [("square", "square"), ("type", "type_")] {
            assert_eq!(bound(name), ident);
        }
    }

    #[test]
    fn refuses_the_rest() {
        for name in ["_x", "x_", "a__b", "a_1", "Square", "größe", "payload", "gen"] {
            assert!(exported(&Ident::new_raw(name, Span::call_site())).is_err(), "{name}");
        }
    }
}
