//! The answers of servers to scripts, told to whoever records them; nothing is made ready while nobody does.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::broadcast;

use crate::functions::http::RecordedResponse;

/// How many answers a slow listener may lag behind before it misses some.
const FOLLOW: usize = 64;

/// How long before what woke the script its answers are said to be there.
///
/// Who plays a recording lets the script ask at the very moment of the message that wakes it; and who records that message hears it
/// over a connection of its own, a little sooner or later than rhaid.
pub const LEAD: Duration = Duration::from_millis(100);

/// An answer, and the moment from which on it is to be given when a recording is played.
#[derive(Debug, Clone)]
pub struct Answered {
    /// When what woke the script happened, how far into its run it asked, and [`LEAD`] before that.
    pub from: Timestamp,
    /// The answer.
    pub heard: RecordedResponse,
}

/// Where answers are told; cheap to clone.
#[derive(Clone)]
pub(crate) struct Overheard(broadcast::Sender<Arc<Answered>>);

impl Default for Overheard {
    fn default() -> Self {
        Self(broadcast::channel(FOLLOW).0)
    }
}

impl Overheard {
    /// Hears answers from now on; who is too slow misses some and is told how many.
    pub(crate) fn follow(&self) -> broadcast::Receiver<Arc<Answered>> {
        self.0.subscribe()
    }

    /// Tells an answer, if anybody listens; never waits.
    pub(crate) fn tell(
        &self,
        answer: &dyn Fn() -> RecordedResponse,
        moment: impl FnOnce(&RecordedResponse) -> Timestamp,
    ) {
        if self.0.receiver_count() == 0 {
            return;
        }
        let heard = answer();
        let moment = moment(&heard);
        let from = moment.checked_sub(LEAD).unwrap_or(moment);
        // Who listened may have gone meanwhile.
        let _ = self.0.send(Arc::new(Answered { from, heard }));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Instant;

    use tokio::sync::broadcast::error::RecvError;

    use super::*;

    fn heard(status: u16) -> RecordedResponse {
        let url = "http://a.example/".parse().unwrap();
        RecordedResponse { began: Instant::now(), method: "GET".into(), url, status, headers: Vec::new(), body: None }
    }

    #[tokio::test]
    async fn nothing_is_made_ready_for_nobody_and_who_is_slow_is_told_how_much_was_missed() {
        let overheard = Overheard::default();
        let asked = Cell::new(0_u16);
        let answer = || {
            asked.set(asked.get() + 1);
            heard(asked.get())
        };
        let moment: Timestamp = "2026-01-01T07:00:00Z".parse().unwrap();
        overheard.tell(&answer, |_| moment);
        assert_eq!(asked.get(), 0);
        let mut news = overheard.follow();
        for _ in 0..FOLLOW + 3 {
            overheard.tell(&answer, |_| moment);
        }
        assert!(matches!(news.recv().await, Err(RecvError::Lagged(3))));
        let next = news.recv().await.unwrap();
        assert_eq!((next.heard.status, next.from), (4, moment - LEAD));
        drop(news);
        overheard.tell(&answer, |_| moment);
        assert_eq!(usize::from(asked.get()), FOLLOW + 3);
    }
}
