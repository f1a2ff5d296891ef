//! A function's signature for people and for command lines: one line of JSON.
//!
//! Owns: the form of the custom section `greenroom:signatures`. Must not know: who reads it.
//! Invariant: every line ends with LF, so that the sections of many functions, which a linker
//! joins in any order, stay readable.

use serde_json::json;

use crate::function::{Dialog, Function, output_text, type_text};

/// The line of one function; `module` is empty for an application's `main`.
pub(crate) fn line(module: &str, function: &Function) -> String {
    let params: Vec<_> = function.arguments.iter().map(|a| [a.name.clone(), type_text(&a.ty)]).collect();
    let mut line = json!({
        "module": module,
        "function": function.name,
        "params": params,
        "result": output_text(&function.output),
        "doc": function.doc,
    });
    if let Some(Dialog { first, sends, receives }) = &function.dialog {
        line["context"] = json!({
            "first": type_text(first),
            "sends": type_text(sends),
            "receives": type_text(receives),
        });
    }
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
    #[test]
    fn says_what_a_context_declares() {
        let item = syn::parse_str(
            "#[context] pub async fn f(mut ctx: sdk::Context<Vec<String>, i64, (u8, u8)>, n: u32) {}",
        );
        let function = Function::read(&item.expect("a function")).expect("exportable");
        let line: serde_json::Value = serde_json::from_str(&line("math", &function)).expect("JSON");
        assert_eq!(
            line["context"],
            json!({ "first": "Vec<String>", "sends": "i64", "receives": "(u8, u8)" })
        );
        assert_eq!(line["params"], json!([["n", "u32"]]));
    }
}
