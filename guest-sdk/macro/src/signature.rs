//! A function's signature for people and for command lines: one line of JSON.
//!
//! Owns: the form of the custom section `greenroom:signatures`. Must not know: who reads it.
//! Invariant: every line ends with LF, so that the sections of many functions, which a linker
//! joins in any order, stay readable.

use serde_json::json;

use crate::function::{Function, Output, type_text};

/// The line of one function; `module` is empty for an application's `main`.
pub(crate) fn line(module: &str, function: &Function) -> String {
    let params: Vec<_> = function.arguments.iter().map(|a| [a.name.clone(), type_text(&a.ty)]).collect();
    let result = match &function.output {
        Output::Unit => "()".to_owned(),
        Output::Value(ty) | Output::Fallible(ty) => type_text(ty),
    };
    let line = json!({
        "module": module,
        "function": function.name,
        "params": params,
        "result": result,
        "doc": function.doc,
    });
    format!("{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_a_command_line_needs() {
        let item = syn::parse_str("/// Squares.\npub fn square(x: i64) -> i64 {}").expect("a function");
        let function = Function::read(&item).expect("exportable");
        assert_eq!(
            line("math", &function),
            concat!(
                r#"{"doc":"Squares.","function":"square","module":"math","params":[["x","i64"]],"result":"i64"}"#,
                "\n"
            )
        );
    }
}
