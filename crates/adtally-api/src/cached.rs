//! A copy of a table in memory, so that a request needs no database.
//!
//! The table is read in parts. Each part replaces what the copy held between its ends. From then on only
//! changes are read. What this process writes itself is in the copy at once. While the database is away, the
//! copy stays as it was read last.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

use adtally_service::{Failure, Shutdown};
use adtally_store::StoreError;

/// How often changes are read; so long another process' change takes to show here.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5);

/// How often it is tried again while the database is away.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How often the whole table is read again. So long the copy keeps a deleted row, which leaves no change to
/// read.
const FULL_READ_INTERVAL: Duration = Duration::from_secs(600);

/// Rows that are read at once.
const PART_ROWS: u32 = 5_000;

/// A row as it is read: what the copy holds under its key, `None` for nothing.
pub(crate) type Entry<K, V> = (K, Option<V>);

/// A table that can be copied.
pub(crate) trait Source {
    /// What the log calls the copy.
    const NAME: &'static str;
    /// The primary key.
    type Key: Copy + Ord + Hash;
    /// What the copy holds of a row.
    type Value: PartialEq;
    /// A point in the history of the table: what was committed before it has been read.
    type Watermark: Copy;

    /// The present point in the history of the table.
    async fn watermark(&self) -> Result<Self::Watermark, StoreError>;

    /// At most `limit` rows with a key above `after`, in the order of keys.
    async fn part(
        &self,
        after: Option<Self::Key>,
        limit: u32,
    ) -> Result<Vec<Entry<Self::Key, Self::Value>>, StoreError>;

    /// The rows that changed since a point, and the next one; `None` when the whole table is to be read.
    async fn changes(&self, since: Self::Watermark) -> Result<Option<Changes<Self>>, StoreError>;
}

/// The rows of a table that changed.
pub(crate) struct Changes<S: Source + ?Sized> {
    /// The rows as they are now. Some may have been read before.
    pub(crate) entries: Vec<Entry<S::Key, S::Value>>,
    /// From where to read on.
    pub(crate) watermark: S::Watermark,
}

/// A copy of a table.
#[derive(Debug)]
pub(crate) struct Cached<K, V> {
    state: RwLock<State<K, V>>,
}

#[derive(Debug)]
struct State<K, V> {
    /// Whether the whole table was read once.
    is_loaded: bool,
    values: BTreeMap<K, V>,
    /// What this process wrote since the last read began: the rows read may be older.
    written: HashMap<K, Option<V>>,
}

/// What the copy says of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lookup<T> {
    /// The row is there.
    Found(T),
    /// It is not.
    Missing,
    /// The table was never read.
    NotLoaded,
}

/// How far a copy goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress<W> {
    /// When the whole table was read last.
    full_at: Instant,
    watermark: W,
}

impl<K: Ord, V> Default for Cached<K, V> {
    fn default() -> Self {
        Self {
            state: RwLock::new(State {
                is_loaded: false,
                values: BTreeMap::new(),
                written: HashMap::new(),
            }),
        }
    }
}

impl<K: Copy + Ord + Hash, V: PartialEq> State<K, V> {
    fn set(&mut self, key: K, value: Option<V>) {
        match value {
            // Most of what is read is what was read before.
            Some(value) if self.values.get(&key) == Some(&value) => {}
            Some(value) => {
                self.values.insert(key, value);
            }
            None => {
                self.values.remove(&key);
            }
        }
    }

    /// Takes over what was read, except where this process wrote meanwhile.
    fn end_read(&mut self, read: impl Iterator<Item = Entry<K, V>>) {
        for (key, value) in read {
            self.set(key, value);
        }
        for (key, value) in std::mem::take(&mut self.written) {
            self.set(key, value);
        }
    }
}

impl<K: Copy + Ord + Hash, V: Clone + PartialEq> Cached<K, V> {
    /// What `read` makes of the value under `key`.
    pub(crate) fn get<T>(&self, key: &K, read: impl FnOnce(&V) -> T) -> Lookup<T> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        match state.values.get(key) {
            _ if !state.is_loaded => Lookup::NotLoaded,
            Some(value) => Lookup::Found(read(value)),
            None => Lookup::Missing,
        }
    }

    /// Takes over a row that this process just wrote, ahead of the next read.
    pub(crate) fn put(&self, key: K, value: Option<V>) {
        let mut state = self.lock();
        state.written.insert(key, value.clone());
        state.set(key, value);
    }

    /// Keeps the copy up to date until `shutdown`. Logs once that the database is away, and that it is back.
    ///
    /// # Errors
    /// A configuration failure when the database's URL asks for what this build does not have, or leads to a
    /// server that cannot be used.
    pub(crate) async fn keep_fresh<S: Source<Key = K, Value = V>>(
        &self,
        source: &S,
        shutdown: &Shutdown,
    ) -> Result<(), Failure> {
        let (mut was_away, mut progress) = (false, None);
        loop {
            match self.refresh(source, progress).await {
                Ok(now) => {
                    progress = Some(now);
                    if std::mem::take(&mut was_away) {
                        log::info!("the database answers again; the {} is up to date", S::NAME);
                    }
                }
                Err(error @ (StoreError::NoTls | StoreError::Unsuitable(_))) => {
                    return Err(Failure::configuration(format!("--database-url: {error}")));
                }
                Err(error) if !was_away => {
                    // A lasting fault, which a person must mend, is logged by `watch_obstacles`.
                    if !error.is_lasting() {
                        log::warn!("{error}; events are accepted all the same, retrying");
                    }
                    was_away = true;
                }
                Err(_) => {}
            }
            let pause = if was_away {
                RETRY_INTERVAL
            } else {
                REFRESH_INTERVAL
            };
            if shutdown.requested_within(pause).await {
                return Ok(());
            }
        }
    }

    /// Reads the whole table.
    #[cfg(test)]
    pub(crate) async fn load<S: Source<Key = K, Value = V>>(
        &self,
        source: &S,
    ) -> Result<(), StoreError> {
        self.read_all(source).await.map(drop)
    }

    /// Takes `entries` as if they were the whole table.
    #[cfg(test)]
    pub(crate) fn fill(&self, entries: Vec<Entry<K, V>>) {
        self.begin_read();
        self.end_part(None, None, entries);
        self.lock().is_loaded = true;
    }

    /// Reads what changed since `progress`, or the whole table.
    ///
    /// # Errors
    /// Those of `source`.
    pub(crate) async fn refresh<S: Source<Key = K, Value = V>>(
        &self,
        source: &S,
        progress: Option<Progress<S::Watermark>>,
    ) -> Result<Progress<S::Watermark>, StoreError> {
        let is_recent = |progress: &Progress<_>| progress.full_at.elapsed() < FULL_READ_INTERVAL;
        let Some(progress) = progress.filter(is_recent) else {
            return self.read_all(source).await;
        };
        self.begin_read();
        let Some(changes) = source.changes(progress.watermark).await? else {
            return self.read_all(source).await;
        };
        self.lock().end_read(changes.entries.into_iter());
        Ok(Progress {
            watermark: changes.watermark,
            ..progress
        })
    }

    async fn read_all<S: Source<Key = K, Value = V>>(
        &self,
        source: &S,
    ) -> Result<Progress<S::Watermark>, StoreError> {
        let watermark = source.watermark().await?;
        let mut after = None;
        loop {
            self.begin_read();
            let entries = source.part(after, PART_ROWS).await?;
            // A part that is not full is the last one.
            let is_full = u32::try_from(entries.len()).is_ok_and(|read| read >= PART_ROWS);
            let last = entries.last().map(|(key, _)| *key).filter(|_| is_full);
            self.end_part(after, last, entries);
            if last.is_none() {
                break;
            }
            after = last;
        }
        self.lock().is_loaded = true;
        Ok(Progress {
            full_at: Instant::now(),
            watermark,
        })
    }

    fn begin_read(&self) {
        self.lock().written.clear();
    }

    /// Takes over `entries`: all rows behind `after` and up to `last`, or to the end.
    fn end_part(&self, after: Option<K>, last: Option<K>, entries: Vec<Entry<K, V>>) {
        let read: BTreeMap<_, _> = entries.into_iter().collect();
        let bounds = (
            after.map_or(Bound::Unbounded, Bound::Excluded),
            last.map_or(Bound::Unbounded, Bound::Included),
        );
        let mut state = self.lock();
        let held = state.values.range(bounds).map(|(key, _)| *key);
        let deleted: Vec<K> = held.filter(|key| !read.contains_key(key)).collect();
        let deleted = deleted.into_iter().map(|key| (key, None));
        state.end_read(deleted.chain(read));
    }

    fn lock(&self) -> RwLockWriteGuard<'_, State<K, V>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}
