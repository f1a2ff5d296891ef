//! The result as people read it.
//!
//! Owns: the choice of the most frequent words, and their alignment.

use crate::Counts;

/// One line per word, the most frequent first, words of equal count in order.
pub(crate) fn top(counts: &Counts, most: usize) -> String {
    let mut ranked: Vec<_> = counts.iter().collect();
    ranked.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    ranked.truncate(most);
    let word_width = ranked.iter().map(|(word, _)| word.chars().count()).max().unwrap_or(0);
    let count_width = ranked.first().map_or(0, |(_, count)| count.to_string().len());
    let line = |(word, count): &(&String, &u64)| format!("{word:<word_width$}  {count:>count_width$}");
    ranked.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_and_ranks() {
        let counts = [("the", 120), ("größe", 7), ("and", 7), ("rare", 1)];
        let counts = counts.map(|(word, count)| (word.to_owned(), count)).into();
        assert_eq!(top(&counts, 3), "the    120\nand      7\ngröße    7");
        assert_eq!(top(&Counts::new(), 3), "");
    }
}
