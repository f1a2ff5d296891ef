//! Keyword arguments on the callee's side.
//!
//! Owns: taking a call's payload apart, name by name. Must not know: functions.
//! Invariant: a function either gets all its arguments or one error that names every unknown,
//! missing and ill-typed one.

use greenroom_abi::kind::BadArguments;
use greenroom_abi::{Malformed, payload};
use serde::de::DeserializeOwned;

/// The arguments of one call, as they are taken.
#[derive(Debug)]
pub struct Arguments<'a> {
    left: Vec<(&'a str, &'a [u8])>,
    wrong: BadArguments,
}

/// An argument that was taken, or noted as wrong.
#[derive(Debug)]
pub struct Taken<T>(Option<T>);

impl<T> Taken<T> {
    /// The value, once [`Arguments::finish`] has passed.
    ///
    /// # Panics
    /// If `finish` has not, which generated code rules out.
    pub fn get(self) -> T {
        self.0.expect("`finish` fails if an argument is wrong")
    }
}

impl<'a> Arguments<'a> {
    /// Splits the payload of a call.
    ///
    /// # Errors
    /// [`Malformed`] if it is no map from names to values.
    pub fn parse(kwargs: &'a [u8]) -> Result<Self, Malformed> {
        let left = payload::arguments(kwargs)?;
        let function = String::new();
        let wrong = BadArguments { function, unknown: vec![], missing: vec![], ill_typed: vec![] };
        Ok(Self { left, wrong })
    }

    /// Takes an argument that must be there.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Taken<T> {
        let value = self.value(name);
        if value.is_none() {
            self.wrong.missing.push(name.to_owned());
        }
        Taken(value.and_then(|value| self.decode(name, value)))
    }

    /// Takes an argument that may be left out.
    pub fn take_optional<T: DeserializeOwned + Default>(&mut self, name: &str) -> Taken<T> {
        match self.value(name) {
            Some(value) => Taken(self.decode(name, value)),
            None => Taken(Some(T::default())),
        }
    }

    /// Passes if every argument given was taken and every one taken was right.
    ///
    /// # Errors
    /// [`BadArguments`] naming all that was wrong, but not the function.
    pub fn finish(mut self) -> Result<(), BadArguments> {
        self.wrong.unknown = self.left.into_iter().map(|(name, _)| name.to_owned()).collect();
        let wrong = &self.wrong;
        if wrong.unknown.is_empty() && wrong.missing.is_empty() && wrong.ill_typed.is_empty() {
            Ok(())
        } else {
            Err(self.wrong)
        }
    }

    fn value(&mut self, name: &str) -> Option<&'a [u8]> {
        let at = self.left.iter().position(|(given, _)| *given == name)?;
        Some(self.left.remove(at).1)
    }

    fn decode<T: DeserializeOwned>(&mut self, name: &str, value: &[u8]) -> Option<T> {
        match payload::decode_checked(value) {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong.ill_typed.push((name.to_owned(), error.reason));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kwargs;

    #[test]
    fn gives_what_fits() {
        let payload = kwargs! { x: 2, name: "a" }.into_payload().expect("encodes");
        let mut arguments = Arguments::parse(&payload).expect("parses");
        let (x, name) = (arguments.take::<i64>("x"), arguments.take::<String>("name"));
        let left_out = arguments.take_optional::<Option<u8>>("opt");
        arguments.finish().expect("all fit");
        assert_eq!((x.get(), name.get().as_str(), left_out.get()), (2, "a", None));
    }

    #[test]
    fn keeps_integers_and_floats_apart() {
        let payload = kwargs! { x: 2, y: 2.0 }.into_payload().expect("encodes");
        let mut arguments = Arguments::parse(&payload).expect("parses");
        arguments.take::<f64>("x");
        arguments.take::<i64>("y");
        assert_eq!(arguments.finish().expect_err("neither fits").ill_typed.len(), 2);
    }

    #[test]
    fn names_all_that_is_wrong_at_once() {
        let payload = kwargs! { x: "two", y: 1, z: 2 }.into_payload().expect("encodes");
        let mut arguments = Arguments::parse(&payload).expect("parses");
        arguments.take::<i64>("x");
        arguments.take::<i64>("name");
        arguments.take_optional::<Option<bool>>("y");
        let wrong = arguments.finish().expect_err("nothing fits");
        assert_eq!(wrong.unknown, ["z"]);
        assert_eq!(wrong.missing, ["name"]);
        let ill_typed: Vec<_> = wrong.ill_typed.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(ill_typed, ["x", "y"]);
    }
}
