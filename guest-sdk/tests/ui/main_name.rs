//! Owns: an entry that is not called `main`. It is refused.

#[greenroom_guest::main]
async fn start() {}

fn main() {}
