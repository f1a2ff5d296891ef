//! Values between the command line and CBOR.
//!
//! Owns: what a value is written as, and what is printed of one. Must not know: actors. Invariant:
//! what is printed as JSON can be given back as an argument.

mod fit;
mod given;
mod show;
mod written;

pub(crate) use given::{Arguments, Read, Shape, kwargs, message};
pub(crate) use show::{Format, line, print, print_as, write_line};
