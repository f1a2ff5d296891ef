//! Owns: references in an exported signature. Each is refused: they lead into another process.

#[greenroom_guest::module]
pub mod math {
    pub fn shout(text: &str, nested: Vec<Option<&'static [u8]>>) -> &'static str {
        let _ = nested;
        text.len().to_string().leak()
    }
}

fn main() {}
