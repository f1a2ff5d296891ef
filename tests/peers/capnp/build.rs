//! Has Debian's `capnp` read the schema.
//!
//! Owns: nothing but that.

fn main() {
    capnpc::CompilerCommand::new().file("far.capnp").run().expect("`capnp` is installed");
}
