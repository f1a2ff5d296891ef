//! The syntax of function names on the wire.
//!
//! Owns: parsing and printing `module:function` and `module/interface:function`. Must not
//! know: which modules exist.

use std::fmt;

/// A function of a module, as callers name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FunctionName<'a> {
    /// The module, with its interface if one was given: `module` or `module/interface`.
    pub module: &'a str,
    /// The function.
    pub function: &'a str,
    text: &'a str,
}

/// Why a text is not a function name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a function name: write `module:function` or `module/interface:function`")]
pub struct InvalidName(pub String);

impl<'a> FunctionName<'a> {
    /// Splits at the last colon.
    ///
    /// # Errors
    /// [`InvalidName`] if there is no colon or either part is empty.
    pub fn parse(text: &'a str) -> Result<Self, InvalidName> {
        match text.rsplit_once(':') {
            Some((module, function)) if !module.is_empty() && !function.is_empty() => {
                Ok(Self { module, function, text })
            }
            _ => Err(InvalidName(text.to_owned())),
        }
    }

    /// Both parts, as they were written.
    pub fn text(&self) -> &'a str {
        self.text
    }
}

impl fmt::Display for FunctionName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_the_last_colon() {
        let name = FunctionName::parse("a/b:c").expect("valid");
        assert_eq!((name.module, name.function), ("a/b", "c"));
        assert_eq!(FunctionName::parse("ns:a/b:c").expect("valid").module, "ns:a/b");
        assert_eq!(name.to_string(), "a/b:c");
    }

    #[test]
    fn refuses_what_lacks_a_part() {
        for text in ["", "square", ":square", "math:"] {
            assert_eq!(FunctionName::parse(text), Err(InvalidName(text.to_owned())), "{text:?}");
        }
    }
}
