//! The memory readers see: every store to it is made here.

use std::sync::atomic::{AtomicU64, Ordering};

use bot_common::table::LINE_WORDS;

use super::page::Words;

/// The words of a table, as its writer stores them.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a>(pub(super) &'a [AtomicU64]);

impl Shared<'_> {
    /// Stores a word that nobody can come to yet.
    fn prepare(self, line: u32, word: usize, value: u64) {
        self.store(line, word, value, Ordering::Relaxed);
    }

    /// Stores a word that readers come to: what was stored before is seen by whoever sees this.
    pub(super) fn publish(self, line: u32, word: usize, value: u64) {
        self.store(line, word, value, Ordering::Release);
    }

    /// Writes a block that nobody can come to yet.
    pub(super) fn write(self, line: u32, block: &[Words]) {
        for (line, words) in (line..).zip(block) {
            for (word, value) in words.iter().enumerate() {
                self.prepare(line, word, *value);
            }
        }
    }

    /// A word, as its only writer knows it.
    pub(super) fn read(self, line: u32, word: usize) -> u64 {
        let word = self.0.get(at(line, word));
        word.map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn store(self, line: u32, word: usize, value: u64, order: Ordering) {
        if let Some(place) = self.0.get(at(line, word)) {
            place.store(value, order);
        }
        #[cfg(test)]
        log::note(at(line, word), value);
    }
}

fn at(line: u32, word: usize) -> usize {
    line as usize * LINE_WORDS + word
}

/// The stores of this thread, for tests that look at the table after each of them.
#[cfg(test)]
pub(super) mod log {
    use std::cell::RefCell;

    thread_local! {
        static STORES: RefCell<Option<Vec<(usize, u64)>>> = const { RefCell::new(None) };
    }

    pub(super) fn note(at: usize, value: u64) {
        STORES.with_borrow_mut(|stores| {
            if let Some(stores) = stores {
                stores.push((at, value));
            }
        });
    }

    /// The stores that `work` makes: index of the word and its value.
    pub(in crate::table) fn of(work: impl FnOnce()) -> Vec<(usize, u64)> {
        STORES.set(Some(Vec::new()));
        work();
        STORES.take().unwrap_or_default()
    }
}
