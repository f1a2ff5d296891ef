//! A component that knows nothing of Greenroom: functions of value types, in interfaces and without.
//!
//! Owns: what the functions of `wit/plain.wit` do. Must not know: who calls them. Invariant: an
//! echo is what it was given.

mod bindings;

use std::sync::atomic::{AtomicU32, Ordering};

use bindings::Guest;
use bindings::exports::test::plain::{faults, handles, values};
use wit_bindgen::{FutureReader, StreamReader};

struct Plain;

impl Guest for Plain {
    fn twice(text: String) -> String {
        format!("{text}{text}")
    }

    async fn twice_later(text: String) -> String {
        wit_bindgen::yield_async().await;
        format!("{text}{text}")
    }
}

/// The eight integers.
type Integers = (i8, u8, i16, u16, i32, u32, i64, u64);

impl values::Guest for Plain {
    fn echo_bool(v: bool) -> bool {
        v
    }

    fn echo_integers(a: i8, b: u8, c: i16, d: u16, e: i32, f: u32, g: i64, h: u64) -> Integers {
        (a, b, c, d, e, f, g, h)
    }

    fn echo_floats(a: f32, b: f64) -> (f32, f64) {
        (a, b)
    }

    fn echo_char(v: char) -> char {
        v
    }

    fn echo_string(v: String) -> String {
        v
    }

    fn echo_list(v: Vec<u16>) -> Vec<u16> {
        v
    }

    fn echo_bytes(v: Vec<u8>) -> Vec<u8> {
        v
    }

    fn echo_place(v: values::Place) -> values::Place {
        v
    }

    fn echo_places(v: Vec<Option<values::Place>>) -> Vec<Option<values::Place>> {
        v
    }

    fn echo_size(v: values::Size) -> values::Size {
        v
    }

    fn echo_shape(v: values::Shape) -> values::Shape {
        v
    }

    fn echo_rights(v: values::Rights) -> values::Rights {
        v
    }

    fn echo_options(v: Option<Option<u8>>) -> Option<Option<u8>> {
        v
    }

    fn echo_results(v: Vec<Result<u8, String>>) -> Vec<Result<u8, String>> {
        v
    }

    fn named_bytes(name: String, data: Vec<u8>) -> Option<Vec<u8>> {
        (!name.is_empty()).then_some(data)
    }

    fn wrapped_bytes(v: (String, Vec<u8>)) -> (String, Vec<u8>) {
        v
    }

    fn nothing() {}

    async fn echo_later(v: String) -> String {
        wit_bindgen::yield_async().await;
        v
    }
}

impl faults::Guest for Plain {
    fn fail(how: u8) -> Result<u8, faults::Failure> {
        match how {
            0 => Err(faults::Failure::NotFound("the door".to_owned())),
            1 => Err(faults::Failure::Broken(faults::Reason::Lost)),
            2 => Err(faults::Failure::Refused),
            how => Ok(how),
        }
    }

    fn complain(code: u32) -> Result<(), faults::Trouble> {
        Err(faults::Trouble { code, message: "it is too loud".to_owned() })
    }

    fn say(text: String) -> Result<String, String> {
        Err(text)
    }

    fn give_up() -> Result<(), ()> {
        Err(())
    }

    fn trap() {
        std::process::abort();
    }

    fn panic(text: String) {
        panic!("{text}");
    }

    fn exit(status: u8) {
        std::process::exit(status.into());
    }

    fn finish() -> Result<(), ()> {
        std::process::exit(0);
    }

    fn spin() {
        let mut turns = 0_u64;
        loop {
            turns = std::hint::black_box(turns.wrapping_add(1));
        }
    }

    async fn wait() {
        std::future::pending::<()>().await;
    }

    fn count() -> u32 {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        CALLS.fetch_add(1, Ordering::Relaxed) + 1
    }
}

struct Thing;

impl handles::GuestThing for Thing {
    fn get(&self) -> u32 {
        1
    }
}

impl handles::Guest for Plain {
    type Thing = Thing;

    fn make() -> handles::Thing {
        handles::Thing::new(Thing)
    }

    fn sum(all: StreamReader<u32>) -> u64 {
        drop(all);
        0
    }

    fn promise() -> FutureReader<String> {
        bindings::wit_future::new(String::new).1
    }
}
