//! The most frequent words of a folder of text files, counted by worker actors that may read
//! that folder and nothing else.
//!
//! `greenroom run wordcount.wasm --allow spawn --dir docs::/docs:ro folder=/docs`

mod files;
mod table;

use std::collections::BTreeMap;

use greenroom_guest::prelude::*;

/// How many files each worker has in hand at once: one being read, one waiting.
const FILES_PER_WORKER: usize = 2;

/// Occurrences by word.
pub type Counts = BTreeMap<String, u64>;

/// What a worker serves.
#[module]
pub mod counter {
    use super::Counts;
    use greenroom_guest::prelude::*;

    /// Counts the words of one file.
    pub async fn count(path: String) -> Result<Counts, Fault> {
        let text = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => fault!("cannot read `{path}`: {error}"),
        };
        log::debug!("{path}: {} bytes", text.len());
        Ok(super::words(&text))
    }
}

/// Occurrences of each word: a run of letters, in lower case.
fn words(text: &str) -> Counts {
    let mut counts = Counts::new();
    for word in text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()) {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    counts
}

/// Counts the words of all text files below `folder` and gives the `top` most frequent (default
/// 10), using the given number of `workers` (default 4).
#[greenroom_guest::main]
async fn main(folder: String, workers: Option<u32>, top: Option<u32>) -> Result<String, Fault> {
    let workers = workers.unwrap_or(4).max(1);
    let files = files::below(&folder)?;
    let total = files.len() as u64;

    let nursery = Nursery::open();
    let start = |n| {
        let options = SpawnOptions::new().dir(DirGrant::read_only(&folder));
        nursery.start_actor(format!("worker_{n}"), [counter::MODULE]).with(options).into_future()
    };
    let portals = try_join_all((0..workers).map(start)).await?;

    let at_once = portals.len() * FILES_PER_WORKER;
    let calls = files.into_iter().zip(portals.iter().cycle()).map(|(path, worker)| async move {
        let counts = worker.run(counter::count { path: path.clone() }).await?;
        Ok::<_, Fault>((path, counts))
    });
    let mut counted = stream::iter(calls).buffer_unordered(at_once);

    let (mut sum, mut done) = (Counts::new(), 0);
    while let Some((path, counts)) = counted.try_next().await? {
        for (word, count) in counts {
            *sum.entry(word).or_default() += count;
        }
        done += 1;
        progress(done, total, path);
    }
    nursery.cancel().await?;
    Ok(table::top(&sum, top.unwrap_or(10) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn counts_words_without_case() {
        let expected = [("a", 1), ("größe", 2), ("the", 1)];
        let expected = expected.map(|(word, count)| (word.to_owned(), count));
        assert_eq!(words("The Größe, a größe -- 42!"), Counts::from(expected));
    }

    #[test]
    fn names_the_file_it_cannot_read() {
        let missing = counter::count("/no/such/file".into()).now_or_never().expect("it waits for nothing");
        let message = missing.expect_err("there is no such file").into_remote().message;
        assert!(message.starts_with("cannot read `/no/such/file`: "), "{message}");
    }
}
