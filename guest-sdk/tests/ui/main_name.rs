#[greenroom_guest::main]
async fn start() {}

fn main() {}
