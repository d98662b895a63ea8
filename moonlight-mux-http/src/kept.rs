//! The streamers that come back when the server is started again: `streamers.json` in the state directory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moonlight_mux::{Damaged, HostAddress, InputMode, Loaded, StateDirectory, StateError, StreamerId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::create_request::CreateRequest;
use crate::fields::Fields;
use crate::input;

/// The streamers that were declared persistent, kept in a state directory. Clones are handles to the same ones.
#[derive(Clone, Debug)]
pub struct KeptStreamers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    directory: StateDirectory,
    damaged: Option<Damaged>,
    book: Mutex<Book>,
    /// Held while the file is written, so that an older state never overwrites a newer one.
    writing: Mutex<()>,
    /// Owns the writes that are under way.
    writes: Mutex<JoinSet<()>>,
}

#[derive(Debug, Default)]
struct Book {
    next_ticket: u64,
    by_id: BTreeMap<StreamerId, (Ticket, Kept)>,
}

/// Names one declaration: a later one of the same streamer has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// What is kept of a streamer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    /// Where its host was: see `HostSource`.
    pub(crate) address: HostAddress,
    /// The body of the request that made it, as far as this server knows its fields, with the input mode of now.
    pub(crate) request: Fields,
}

impl KeptStreamers {
    /// Those that `directory` has. A damaged `streamers.json` is set aside under another name, which
    /// [`damaged`](Self::damaged) tells. Blocks on the disk.
    ///
    /// # Errors
    /// When the file cannot be read, or a newer version wrote it; then it is untouched.
    pub fn open(directory: &StateDirectory) -> Result<Self, StateError> {
        let Loaded { kept, damaged, .. } = directory.load(FILE, SCHEMA, parse)?;
        let mut book = Book::default();
        for (id, kept) in kept.unwrap_or_default() {
            book.insert(id, kept);
        }
        let shared = Shared {
            directory: directory.clone(),
            damaged,
            book: Mutex::new(book),
            writing: Mutex::default(),
            writes: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What was found damaged when it was opened.
    #[must_use]
    pub fn damaged(&self) -> Option<&Damaged> {
        self.shared.damaged.as_ref()
    }

    pub(crate) fn list(&self) -> Vec<(StreamerId, Ticket, Kept)> {
        let book = self.book();
        book.by_id.iter().map(|(id, (ticket, kept))| (id.clone(), *ticket, kept.clone())).collect()
    }

    pub(crate) fn contains(&self, id: &StreamerId) -> bool {
        self.book().by_id.contains_key(id)
    }

    /// In the place of what was kept under this id. [`write`](Self::write) puts it on the disk, as all changes that are not made by
    /// [`change`](Self::change).
    pub(crate) fn insert(&self, id: StreamerId, kept: Kept) -> Ticket {
        self.book().insert(id, kept)
    }

    /// Forgets a streamer. False when there is none.
    pub(crate) fn remove(&self, id: &StreamerId) -> Option<(Ticket, Kept)> {
        self.book().by_id.remove(id)
    }

    /// Names what is kept under this id.
    pub(crate) fn ticket(&self, id: &StreamerId) -> Option<Ticket> {
        self.book().by_id.get(id).map(|(ticket, _)| *ticket)
    }

    /// What is kept under this id.
    pub(crate) fn get(&self, id: &StreamerId) -> Option<Kept> {
        self.book().by_id.get(id).map(|(_, kept)| kept.clone())
    }

    /// Forgets a streamer, unless it was declared anew. False when there is none.
    pub(crate) fn remove_if_current(&self, id: &StreamerId, ticket: Ticket) -> bool {
        let mut book = self.book();
        let current = book.is_current(id, ticket);
        if current {
            book.by_id.remove(id);
        }
        current
    }

    /// What `action` gives, while nobody can change what is kept; it is told what that is. `None` if that is not what `ticket`
    /// names any more.
    pub(crate) fn while_current<T>(
        &self,
        id: &StreamerId,
        ticket: Ticket,
        action: impl FnOnce(&Kept) -> T,
    ) -> Option<T> {
        let book = self.book();
        let (current, kept) = book.by_id.get(id)?;
        (*current == ticket).then(|| action(kept))
    }

    /// Keeps another input mode. False when there is no such streamer.
    pub(crate) fn set_input_mode(&self, id: &StreamerId, mode: InputMode) -> bool {
        let mut book = self.book();
        let kept = book.by_id.get_mut(id);
        kept.map(|(_, kept)| input::put_mode(&mut kept.request, mode)).is_some()
    }

    /// Puts all that changed before the call on the disk, on a thread for such work. Cancel safe: it is written all the same.
    ///
    /// # Errors
    /// When the system does not write it; then the file is what it was.
    pub(crate) async fn write(&self) -> Result<(), StateError> {
        // Without a word the runtime goes down.
        self.on_a_thread(Shared::write).await.unwrap_or(Ok(()))
    }

    /// Puts `draft` on the disk, in the place of what is kept under this id, and then has `then` do the same here. Where that
    /// refuses, the disk has what it had. Nothing else is written in between. Cancel safe: it is done all the same.
    ///
    /// # Errors
    /// When the system does not write it; then the file is what it was, and `then` was not called.
    pub(crate) async fn change<T: Send + 'static, E: Send + 'static>(
        &self,
        id: StreamerId,
        draft: Option<Kept>,
        then: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, ChangeError> {
        let changed = self.on_a_thread(move |shared| shared.change(&id, draft.as_ref(), then)).await;
        Ok(changed.ok_or(ChangeError::RuntimeEnded)??)
    }

    /// What `work` gives on a thread that may block. None when the runtime goes down.
    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, StateError> + Send + 'static,
    ) -> Option<Result<T, StateError>> {
        let (done, was_done) = oneshot::channel();
        {
            let mut writes = self.shared.writes.lock().unwrap_or_else(PoisonError::into_inner);
            while writes.try_join_next().is_some() {}
            // Not `Shared`, which owns the thread's work.
            let shared = Arc::downgrade(&self.shared);
            writes.spawn_blocking(move || {
                let Some(shared) = shared.upgrade() else { return };
                let result = work(&shared);
                // Who waits may be the last to hold it, and open the directory anew.
                drop(shared);
                // Nobody waits for it any more.
                let Err(Err(error)) = done.send(result) else { return };
                tracing::error!(error = &error as &dyn std::error::Error, "streamers cannot be kept");
            });
        }
        was_done.await.ok()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book()
    }
}

impl Shared {
    fn write(&self) -> Result<(), StateError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.store(None)
    }

    fn change<T, E>(
        &self,
        id: &StreamerId,
        draft: Option<&Kept>,
        then: impl FnOnce() -> Result<T, E>,
    ) -> Result<Result<T, E>, StateError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.store(Some((id, draft))) {
            // It may be there all the same.
            self.take_back();
            return Err(error);
        }
        let done = then();
        if done.is_err() {
            self.take_back();
        }
        Ok(done)
    }

    /// Writes what is kept in the place of a draft. Who takes back is writing.
    fn take_back(&self) {
        if let Err(error) = self.store(None) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "a change of streamers may stay on the disk");
        }
    }

    /// Writes what is kept, with this one in the place of what has its id. Who stores is writing.
    fn store(&self, draft: Option<(&StreamerId, Option<&Kept>)>) -> Result<(), StateError> {
        let document = emit(&self.book(), draft);
        self.directory.store(FILE, &document)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the program ends")]
    RuntimeEnded,
}

impl Book {
    fn insert(&mut self, id: StreamerId, kept: Kept) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.by_id.insert(id, (ticket, kept));
        ticket
    }

    fn is_current(&self, id: &StreamerId, ticket: Ticket) -> bool {
        self.by_id.get(id).is_some_and(|(current, _)| *current == ticket)
    }
}

impl Kept {
    /// What the request asks for, and the input mode.
    pub(crate) fn understood(&self) -> Result<(CreateRequest, InputMode), String> {
        let request = CreateRequest::parse(&self.request).map_err(|invalid| invalid.to_string())?;
        let mode = input::mode(&self.request, InputMode::default()).map_err(|invalid| invalid.to_string())?;
        Ok((request, mode))
    }
}

/// `streamers.json`.
#[derive(Serialize, Deserialize)]
struct Document {
    schema: u32,
    streamers: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    host_address: String,
    request: Map<String, Value>,
}

fn parse(bytes: &[u8]) -> Result<BTreeMap<StreamerId, Kept>, String> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let entries = document.streamers.into_iter().enumerate().map(|(n, Entry { host_address, request })| {
        let damaged = |error: String| format!("streamers[{n}]: {error}");
        let address = host_address.parse().map_err(|error| damaged(format!("host_address: {error}")))?;
        let kept = Kept { address, request: Fields::from(request) };
        let (request, _) = kept.understood().map_err(damaged)?;
        Ok((request.streamer_id, kept))
    });
    entries.collect()
}

fn emit(book: &Book, draft: Option<(&StreamerId, Option<&Kept>)>) -> Vec<u8> {
    let mut all: BTreeMap<_, _> = book.by_id.iter().map(|(id, (_, kept))| (id, kept)).collect();
    match draft {
        Some((id, Some(kept))) => drop(all.insert(id, kept)),
        Some((id, None)) => drop(all.remove(id)),
        None => {}
    }
    let streamers = all.into_values().map(|Kept { address, request }| Entry {
        host_address: address.to_string(),
        request: request.members().clone(),
    });
    let document = Document { schema: SCHEMA, streamers: streamers.collect() };
    let mut json = serde_json::to_vec_pretty(&document).expect("what came as JSON goes as JSON");
    json.push(b'\n');
    json
}

/// Whether `bytes` can be read.
///
/// # Panics
/// When what was read reads otherwise once it was written.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_and_written(bytes: &[u8]) -> bool {
    let Ok(streamers) = parse(bytes) else { return false };
    let mut book = Book::default();
    for (id, kept) in streamers.clone() {
        book.insert(id, kept);
    }
    assert_eq!(parse(&emit(&book, None)), Ok(streamers));
    true
}

const FILE: &str = "streamers.json";
const SCHEMA: u32 = 1;

#[cfg(test)]
pub(crate) mod tests;
