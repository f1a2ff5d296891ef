//! Owns: calls that fit no function of the module, or not its types. Each is refused where it is written.

use greenroom_guest::Portal;

#[greenroom_guest::module]
pub mod math {
    pub fn square(x: i64) -> i64 {
        x * x
    }
}

async fn forgets_an_argument(portal: Portal) {
    portal.run(math::square {}).await.unwrap();
}

async fn misreads_the_result(portal: Portal) {
    let _: String = portal.run(math::square { x: 3 }).await.unwrap();
}

async fn names_what_is_not_there(portal: Portal) {
    portal.run(math::cube { x: 3 }).await.unwrap();
}

async fn passes_something_else(portal: Portal) {
    portal.run("math:square").await.unwrap();
}

fn main() {}
