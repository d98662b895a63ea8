//! What a stream's broadcaster and its viewers share.

use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::StreamKey;
use super::ring::Ring;
use crate::task::Listener;

#[derive(Debug)]
pub(super) struct Stream {
    key: StreamKey,
    ring: Mutex<Ring>,
    viewers: AtomicUsize,
    keyframe_wish: Notify,
    /// For who takes for one viewer.
    published: Notify,
    /// For who takes for many.
    news: Mutex<Vec<Weak<News>>>,
}

/// How often something was published, for one listener: it takes for many viewers, and is woken once for all of them.
#[derive(Debug)]
pub(crate) struct News {
    count: AtomicU64,
    listener: Listener,
}

impl News {
    /// Since it was made.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Acquire)
    }
}

impl Stream {
    pub(super) fn new(key: StreamKey) -> Self {
        Self {
            key,
            ring: Mutex::new(Ring::new()),
            viewers: AtomicUsize::new(0),
            keyframe_wish: Notify::new(),
            published: Notify::new(),
            news: Mutex::default(),
        }
    }

    pub(super) fn key(&self) -> StreamKey {
        self.key
    }

    /// To be held for a few steps: all viewers take under this lock.
    pub(super) fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().expect("no holder of this lock panics")
    }

    pub(super) fn viewers(&self) -> usize {
        self.viewers.load(Relaxed)
    }

    pub(super) fn handle_joined(&self) {
        self.viewers.fetch_add(1, Relaxed);
    }

    pub(super) fn handle_left(&self, started: bool) {
        self.viewers.fetch_sub(1, Relaxed);
        if started {
            self.ring().leave();
        }
    }

    pub(super) fn wish_keyframe(&self) {
        self.keyframe_wish.notify_one();
    }

    /// Cancel safe.
    pub(super) async fn keyframe_wished(&self) {
        self.keyframe_wish.notified().await;
    }

    /// Resolves when something is published after this call. Cancel safe.
    pub(super) fn published(&self) -> Notified<'_> {
        self.published.notified()
    }

    pub(super) fn news_for(&self, listener: &Listener) -> Arc<News> {
        let mut all = self.news();
        all.retain(|news| news.strong_count() > 0);
        if let Some(news) = all.iter().filter_map(Weak::upgrade).find(|news| news.listener.is(listener)) {
            return news;
        }
        let news = Arc::new(News { count: AtomicU64::new(0), listener: listener.clone() });
        all.push(Arc::downgrade(&news));
        news
    }

    /// There is something to take.
    pub(super) fn tell(&self) {
        self.published.notify_waiters();
        self.news().retain(|news| {
            let Some(news) = news.upgrade() else { return false };
            news.count.fetch_add(1, Release);
            news.listener.wake();
            true
        });
    }

    #[cfg(test)]
    pub(super) fn listeners(&self) -> usize {
        self.news().len()
    }

    /// Few: one for each shard that serves viewers of this stream.
    fn news(&self) -> MutexGuard<'_, Vec<Weak<News>>> {
        self.news.lock().expect("no holder of this lock panics")
    }
}
