//! `${NAME}` in strings.
//!
//! Owns: its syntax. Must not know: where the values come from. Invariant: what is put in is not
//! looked at again.

/// What is wrong, and with which part of the text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The part, as it is written.
    pub(crate) part: String,
    /// Why.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: &'static str,
}

const HOW: &str = "write `${NAME}` or `${NAME:-default}`, and `$$` for a dollar sign";

/// Replaces `${NAME}` and `${NAME:-default}` by the variable's value, and `$$` by a dollar sign. As
/// in a shell, the default also stands for a variable that is empty.
///
/// # Errors
/// The first part that is wrong.
pub(crate) fn interpolate(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, Wrong> {
    let mut done = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        done.push_str(&rest[..start]);
        rest = &rest[start..];
        if let Some(after) = rest.strip_prefix("$$") {
            done.push('$');
            rest = after;
            continue;
        }
        let wrong = |part: &str, message: String, help| Wrong { part: part.to_owned(), message, help };
        let Some(inner) = rest.strip_prefix("${") else {
            return Err(wrong("$", "a dollar sign that belongs to nothing".to_owned(), HOW));
        };
        let Some(end) = inner.find('}') else {
            return Err(wrong(rest, "`${` without `}`".to_owned(), HOW));
        };
        let part = &rest[..end + 3];
        let (name, default) = match inner[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inner[..end], None),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit()) {
            let message = format!("`{name}` is not the name of a variable");
            return Err(wrong(part, message, HOW));
        }
        match (lookup(name), default) {
            (Some(value), None) => done.push_str(&value),
            (Some(value), Some(_)) if !value.is_empty() => done.push_str(&value),
            (_, Some(default)) => done.push_str(default),
            (None, None) => {
                let message = format!("there is no environment variable `{name}`");
                return Err(wrong(part, message, "set it, or write `${NAME:-default}`"));
            }
        }
        rest = &rest[part.len()..];
    }
    done.push_str(rest);
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<String, String> {
        let lookup = |name: &str| match name {
            "HOME" => Some("/home/ada".to_owned()),
            "EMPTY" => Some(String::new()),
            "ODD" => Some("${HOME}$$".to_owned()),
            _ => None,
        };
        interpolate(text, &lookup).map_err(|wrong| wrong.part)
    }

    #[test]
    fn variables_defaults_and_dollar_signs() {
        for (text, result) in [
            ("", ""),
            ("plain", "plain"),
            ("${HOME}/docs::/docs", "/home/ada/docs::/docs"),
            ("a${EMPTY}b", "ab"),
            ("${EMPTY:-x}", "x"),
            ("${ABSENT:-}", ""),
            ("${ABSENT:-a:-b}", "a:-b"),
            ("$$5 and $${HOME}", "$5 and ${HOME}"),
            ("${ODD}", "${HOME}$$"),
            ("é${HOME}ü", "é/home/adaü"),
        ] {
            assert_eq!(with(text), Ok(result.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("x ${ABSENT} y", "${ABSENT}"),
            ("$HOME", "$"),
            ("5$", "$"),
            ("${HOME", "${HOME"),
            ("${}", "${}"),
            ("${1A}", "${1A}"),
            ("${A B}", "${A B}"),
        ] {
            assert_eq!(with(text), Err(part.to_owned()), "{text:?}");
        }
    }
}
