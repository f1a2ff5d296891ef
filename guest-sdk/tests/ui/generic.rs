#[greenroom_guest::module]
pub mod math {
    pub fn first<T>(values: Vec<T>) -> T
    where
        T: Clone,
    {
        values[0].clone()
    }
}

fn main() {}
