//! The contract of `leaf.wit` in Rust, with what any component is written with and nothing of
//! Greenroom's.
//!
//! `greenroom call target/guests/leaf.wasm shapes:echo-list 'value=[1, 2, 3]'`

use exports::example::leaf::shapes::{Drawing, Guest, Refusal, Shape};

wit_bindgen::generate!({ path: "leaf.wit", world: "leaf" });

/// What the component exports.
struct Leaf;

impl Guest for Leaf {
    fn echo_record(value: Drawing) -> Drawing {
        value
    }

    fn echo_list(value: Vec<i32>) -> Vec<i32> {
        value
    }

    fn echo_option(value: Option<u64>) -> Option<u64> {
        value
    }

    fn echo_variant(value: Shape) -> Shape {
        value
    }

    fn echo_bytes(value: Vec<u8>) -> Vec<u8> {
        value
    }

    fn fail(code: u16, message: String) -> Result<(), Refusal> {
        Err(Refusal { code, message })
    }

    fn trap() {
        panic!("a leaf has broken down");
    }
}

export!(Leaf);
