//! Places for clients. When all are taken, a new client gets that of the one that has been idle
//! longest; who has a request in progress (following too) keeps its place.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Notify;

/// All places.
#[derive(Clone, Debug)]
pub(super) struct Places {
    limit: usize,
    table: Arc<Mutex<Table>>,
}

/// One client's place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    table: Arc<Mutex<Table>>,
    lost: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    taken: BTreeMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    /// Nothing while a request is in progress.
    idle_since: Option<Instant>,
    lost: Arc<Notify>,
}

impl Places {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            table: Arc::default(),
        }
    }

    /// A place, if need be that of an idle client; `None` when every client is being served.
    pub(super) fn take(&self) -> Option<Place> {
        let mut table = locked(&self.table);
        if table.taken.len() >= self.limit {
            let idle = table.taken.iter();
            let idle = idle.filter_map(|(number, taken)| Some((taken.idle_since?, *number)));
            let (_, longest) = idle.min()?;
            table.taken.remove(&longest)?.lost.notify_one();
        }
        let number = table.next;
        table.next += 1;
        let lost = Arc::new(Notify::new());
        let taken = Taken {
            idle_since: Some(Instant::now()),
            lost: Arc::clone(&lost),
        };
        table.taken.insert(number, taken);
        Some(Place {
            number,
            table: Arc::clone(&self.table),
            lost,
        })
    }
}

impl Place {
    /// Ends when the place is somebody else's.
    pub(super) async fn lost(&self) {
        self.lost.notified().await;
    }

    /// A request is in progress from now on; `false`: the place is lost already.
    pub(super) fn begin(&self) -> bool {
        self.set(None)
    }

    /// Idle from now on.
    pub(super) fn end(&self) {
        self.set(Some(Instant::now()));
    }

    fn set(&self, idle_since: Option<Instant>) -> bool {
        let mut table = locked(&self.table);
        let Some(taken) = table.taken.get_mut(&self.number) else {
            return false;
        };
        taken.idle_since = idle_since;
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        locked(&self.table).taken.remove(&self.number);
    }
}

/// Nothing is done under the lock that could leave the table half changed.
fn locked(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_idle_goes_first_and_who_is_served_stays() {
        let places = Places::new(3);
        let served = places.take().unwrap();
        assert!(served.begin());
        let (older, younger) = (places.take().unwrap(), places.take().unwrap());
        // The older one has just been served, so the younger one is idle longer.
        assert!(older.begin());
        older.end();
        let new = places.take().unwrap();
        assert!(!younger.begin());
        assert!(served.begin() && older.begin() && new.begin());
        assert!(places.take().is_none(), "all three are being served");
        drop(served);
        assert!(places.take().is_some());
    }
}
