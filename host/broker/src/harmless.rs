//! What actors say, as it may be shown.
//!
//! Owns: which characters command a terminal, or make a line read otherwise than it is. Must not
//! know: terminals. Invariant: what is shown cannot move a cursor, change a colour, a title or the
//! direction of text; whatever is replaced stays visible.

use std::borrow::Cow;

use greenroom_sabotage::Protection;

/// A text in which what would command a terminal is written out, as `\u{1b}`. Line ends and tabs stay.
pub fn harmless(text: &str) -> Cow<'_, str> {
    without(text, is_harmful)
}

/// As [`harmless`], for what is to be one line: line ends are written out, too.
pub fn harmless_line(text: &str) -> Cow<'_, str> {
    without(text, |c| c == '\n' || is_harmful(c))
}

fn without(text: &str, harmful: fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(harmful) || Protection::TerminalEscapes.is_off() {
        return Cow::Borrowed(text);
    }
    let written = |c: char| match harmful(c) {
        true => c.escape_unicode().to_string(),
        false => c.to_string(),
    };
    Cow::Owned(text.chars().map(written).collect())
}

fn is_harmful(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // Marks, embeddings, overrides and isolates of direction; line and paragraph separators.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // C0, DEL and C1.
        other => other.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_is_written_out() {
        for (text, shown) in [
            ("plain\ttext\nÄ 漢 🦀", "plain\ttext\nÄ 漢 🦀"),
            ("\x1b[2J", "\\u{1b}[2J"),
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("over\rwritten\x08", "over\\u{d}written\\u{8}"),
            ("\u{9b}31m\x7f", "\\u{9b}31m\\u{7f}"),
            ("a\u{202e}b\u{2066}c\u{200f}", "a\\u{202e}b\\u{2066}c\\u{200f}"),
        ] {
            assert_eq!(harmless(text), shown);
        }
        assert_eq!(harmless_line("two\nlines\tare \u{1b}one"), "two\\u{a}lines\tare \\u{1b}one");
    }
}
