//! A component that tries to get out.
//!
//! Owns: trying by WASI what the suite lists. Must not know: what keeps it in. Invariant: it tells
//! all that it got.

pub mod escapes;
mod wasi;

use greenroom_guest::prelude::*;
use wasi as files;

/// Ways out.
#[module]
pub mod escape {
    use crate::escapes::{ESCAPES, Place};
    use greenroom_guest::prelude::*;
    use std::fs::File;

    /// Tries one way out, from the folders `/rw` and `/ro`; `base` is where they are on the machine.
    /// Gives what was read, or the error.
    pub fn attempt(id: String, base: String) -> Result<String, Fault> {
        let escape = ESCAPES.iter().find(|escape| escape.id == id);
        let escape = escape.ok_or_else(|| Fault::msg(format_args!("there is no way {id}")))?;
        let open = |path: &str| File::open(path).map_err(|error| Fault::msg(format_args!("{path}: {error}")));
        let place = Place { rw: open("/rw")?, rw_path: "/rw".to_owned(), ro: open("/ro")?, base };
        Ok(match (escape.run)(&place) {
            Ok(bytes) => format!("done {}", String::from_utf8_lossy(&bytes)),
            Err(error) => format!("refused {error}"),
        })
    }
}
