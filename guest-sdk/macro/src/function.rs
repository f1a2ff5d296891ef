//! One exported function, as its author wrote it.
//!
//! Owns: which signatures can be called through a portal, and the errors for those that cannot.
//! Must not know: what is generated for one.

use proc_macro2::Span;
use quote::ToTokens as _;
use syn::{
    Attribute, Expr, ExprLit, FnArg, GenericArgument, Ident, ItemFn, Lit, Meta, Pat, PathArguments,
    ReturnType, Type, spanned::Spanned as _, visit_mut::VisitMut,
};

use crate::name;

/// An exported function.
pub(crate) struct Function {
    /// Its Rust identifier.
    pub(crate) ident: Ident,
    /// Its name on the wire.
    pub(crate) name: String,
    pub(crate) is_async: bool,
    /// What its context declares, if it is called through one.
    pub(crate) dialog: Option<Dialog>,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) output: Output,
    /// The first line of its documentation; may be empty.
    pub(crate) doc: String,
}

/// The types that a context declares.
pub(crate) struct Dialog {
    /// What the function starts with.
    pub(crate) first: Type,
    pub(crate) sends: Type,
    pub(crate) receives: Type,
}

/// One keyword argument.
pub(crate) struct Argument {
    pub(crate) ident: Ident,
    pub(crate) name: String,
    pub(crate) ty: Type,
    /// Its type is an `Option`: it may be left out.
    pub(crate) optional: bool,
}

/// What a function returns.
pub(crate) enum Output {
    /// Nothing, which travels as null.
    Unit,
    /// A value that cannot fail.
    Value(Type),
    /// A `Result` with this value. The whole type is kept for the signature.
    Fallible(Type),
}

impl Function {
    /// Reads a function, or says everything that keeps it from being exported.
    pub(crate) fn read(item: &ItemFn) -> syn::Result<Self> {
        let mut errors = Errors::default();
        let signature = &item.sig;
        let name = errors.keep(name::exported(&signature.ident)).unwrap_or_default();
        if !signature.generics.params.is_empty() {
            errors.say(signature.generics.span(), "an exported function cannot be generic");
        }
        if let Some(clause) = &signature.generics.where_clause {
            errors.say(clause.span(), "an exported function cannot have a where clause");
        }
        if !matches!(signature.safety, syn::Safety::Default) {
            errors.say(signature.safety.span(), "an exported function cannot be unsafe");
        }
        if let Some(abi) = &signature.abi {
            errors.say(abi.span(), "an exported function cannot be extern: the SDK exports it");
        }
        if let Some(variadic) = &signature.variadic {
            errors.say(variadic.span(), "an exported function cannot be variadic");
        }
        if let Some(attribute) = item.attrs.iter().find(|a| a.path().is_ident("cfg")) {
            errors
                .say(attribute.span(), "an exported function cannot be conditional: put `cfg` on its module");
        }
        let mut inputs = signature.inputs.iter().peekable();
        let dialog = match item.attrs.iter().find(|attribute| marks_context(attribute)) {
            Some(mark) => {
                if signature.asyncness.is_none() {
                    errors
                        .say(signature.fn_token.span(), "a `#[context]` function is async: write `async fn`");
                }
                let dialog = dialog(mark, inputs.peek().copied(), &mut errors);
                inputs.next();
                dialog
            }
            None => None,
        };
        let arguments: Vec<_> = inputs.filter_map(|input| argument(input, &mut errors)).collect();
        let output = output(&signature.output, &mut errors);
        errors.into_result()?;
        Ok(Self {
            ident: signature.ident.clone(),
            name,
            is_async: signature.asyncness.is_some(),
            dialog,
            arguments,
            output,
            doc: first_line(&item.attrs),
        })
    }
}

/// Whether it is `#[context]`, by whatever path.
pub(crate) fn marks_context(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|segment| segment.ident == "context")
}

/// Reads the first parameter of a function marked `#[context]`.
fn dialog(mark: &Attribute, first: Option<&FnArg>, errors: &mut Errors) -> Option<Dialog> {
    if !matches!(mark.meta, Meta::Path(_)) {
        errors.say(mark.span(), "`context` takes no arguments");
    }
    let [first, sends, receives] = match first {
        Some(FnArg::Typed(typed)) => context_types(&typed.ty),
        Some(FnArg::Receiver(_)) | None => None,
    }
    .or_else(|| {
        let span = first.map_or(mark.span(), |input| input.span());
        errors.say(
            span,
            "the first parameter of a `#[context]` function is its `Context<First, Sends, Receives>`: the \
             types of its first value, of what it sends, and of what it receives",
        );
        None
    })?;
    owned(first, "a first value", errors);
    owned(sends, "a message", errors);
    owned(receives, "a message", errors);
    Some(Dialog { first: first.clone(), sends: sends.clone(), receives: receives.clone() })
}

/// The three types of a `Context<First, Sends, Receives>`.
fn context_types(ty: &Type) -> Option<[&Type; 3]> {
    let segment = last_segment(ty).filter(|segment| segment.ident == "Context")?;
    let PathArguments::AngleBracketed(generics) = &segment.arguments else { return None };
    let types = generics.args.iter().map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.collect::<Option<Vec<_>>>()?.try_into().ok()
}

fn argument(input: &FnArg, errors: &mut Errors) -> Option<Argument> {
    let typed = match input {
        FnArg::Typed(typed) => typed,
        FnArg::Receiver(receiver) => {
            errors.say(receiver.span(), "an exported function stands alone and has no `self`");
            return None;
        }
    };
    if context_types(&typed.ty).is_some() {
        errors.say(
            typed.span(),
            "a `Context` is no argument: mark the function with `#[context]`, and take it first",
        );
        return None;
    }
    owned(&typed.ty, "an argument", errors);
    match &*typed.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {
            use syn::ext::IdentExt as _;
            Some(Argument {
                ident: pat.ident.clone(),
                name: pat.ident.unraw().to_string(),
                ty: (*typed.ty).clone(),
                optional: last_segment(&typed.ty).is_some_and(|segment| segment.ident == "Option"),
            })
        }
        other => {
            errors.say(other.span(), "an argument is passed by keyword: give it a plain name, not a pattern");
            None
        }
    }
}

fn output(returned: &ReturnType, errors: &mut Errors) -> Output {
    let ReturnType::Type(_, ty) = returned else { return Output::Unit };
    owned(ty, "the result", errors);
    if let Some(segment) = last_segment(ty).filter(|segment| segment.ident == "Result")
        && let PathArguments::AngleBracketed(generics) = &segment.arguments
        && let Some(GenericArgument::Type(value)) = generics.args.first()
    {
        return Output::Fallible(value.clone());
    }
    Output::Value((**ty).clone())
}

/// Complains of what cannot cross a portal, wherever in the type it stands.
fn owned(ty: &Type, what: &'static str, errors: &mut Errors) {
    struct Search<'a>(&'static str, &'a mut Errors);
    impl VisitMut for Search<'_> {
        fn visit_type_mut(&mut self, ty: &mut Type) {
            match ty {
                Type::Reference(reference) => self.1.say(
                    reference.span(),
                    &format!("{} crosses to another process: use an owned type, not a reference", self.0),
                ),
                Type::Ptr(pointer) => {
                    self.1.say(pointer.span(), &format!("{} cannot be a pointer", self.0));
                }
                Type::ImplTrait(implemented) => self.1.say(
                    implemented.span(),
                    &format!("{} needs a named type, not `impl Trait`: callers name it too", self.0),
                ),
                _ => syn::visit_mut::visit_type_mut(self, ty),
            }
        }
    }
    Search(what, errors).visit_type_mut(&mut ty.clone());
}

fn last_segment(ty: &Type) -> Option<&syn::PathSegment> {
    match ty {
        Type::Path(path) if path.qself.is_none() => path.path.segments.last(),
        _ => None,
    }
}

/// The first line that says something, of the doc comments.
fn first_line(attributes: &[Attribute]) -> String {
    attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
                _ => None,
            },
            _ => None,
        })
        .flat_map(|text| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>())
        .find(|line| !line.is_empty())
        .unwrap_or_default()
}

/// The type of a function's value, as a person writes it.
pub(crate) fn output_text(output: &Output) -> String {
    match output {
        Output::Unit => "()".to_owned(),
        Output::Value(ty) | Output::Fallible(ty) => type_text(ty),
    }
}

/// A type as a person writes it.
pub(crate) fn type_text(ty: &Type) -> String {
    let spaced = ty.to_token_stream().to_string();
    let mut text = String::with_capacity(spaced.len());
    let mut rest = spaced.chars().peekable();
    let word = |c: char| c.is_alphanumeric() || c == '_';
    while let Some(c) = rest.next() {
        let between_words = text.chars().last().is_some_and(word) && rest.peek().copied().is_some_and(word);
        if c != ' ' || between_words || text.ends_with([',', ';']) {
            text.push(c);
        }
    }
    text
}

/// Errors that are reported together.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    pub(crate) fn say(&mut self, span: Span, message: &str) {
        self.add(syn::Error::new(span, message));
    }

    pub(crate) fn keep<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    pub(crate) fn into_result(self) -> syn::Result<()> {
        self.0.map_or(Ok(()), Err)
    }

    fn add(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            none => *none = Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Function {
        Function::read(&syn::parse_str(text).expect("a function")).expect("exportable")
    }

    #[test]
    fn reads_arguments_and_output() {
        let function = read(
            "/// Counts.\n/// More.\npub async fn count(mut text: String, r#in: Option<u32>) \
             -> Result<Vec<(u8, String)>, E> {}",
        );
        assert!(function.is_async);
        assert_eq!((function.name.as_str(), function.doc.as_str()), ("count", "Counts."));
        let names: Vec<_> = function.arguments.iter().map(|a| (a.name.as_str(), a.optional)).collect();
        assert_eq!(names, [("text", false), ("in", true)]);
        assert!(matches!(&function.output, Output::Fallible(ty) if type_text(ty) == "Vec<(u8, String)>"));
        assert!(matches!(read("pub fn f() {}").output, Output::Unit));
        assert!(matches!(read("pub fn f() -> u8 {}").output, Output::Value(_)));
    }

    #[test]
    fn writes_types_as_people_do() {
        for text in ["Vec<std::collections::BTreeMap<String, u64>>", "[u8; 4]", "Box<dyn Send>", "()"] {
            assert_eq!(type_text(&syn::parse_str(text).expect("a type")), text);
        }
    }
}
