//! What the macros refuse, and in which words. `TRYBUILD=overwrite` rewrites the expectations.

#[test]
fn says_what_cannot_be_exported() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
