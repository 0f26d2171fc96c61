//! Tap of the HTTP responses that scripts receive, for recordings. Costs nothing without subscribers.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::broadcast;

use crate::functions::http::RecordedResponse;

/// Number of responses that a slow subscriber may lag behind before it misses some.
const MAX_LAG: usize = 64;

/// Time by which a response is available in a simulation before the request was sent.
///
/// A simulation sends the request at the time of the triggering message, and the recorder receives that message over its own connection,
/// slightly earlier or later than rhaid.
pub const HTTP_LEAD: Duration = Duration::from_millis(100);

/// HTTP response that a script received, with the time from which a simulation returns it.
#[derive(Debug, Clone)]
pub struct HttpExchange {
    /// Time of the event plus the time from the start of the run to the request, minus [`HTTP_LEAD`].
    pub from: Timestamp,
    /// The response.
    pub response: RecordedResponse,
}

/// Broadcast channel of HTTP responses; cheap to clone.
#[derive(Clone)]
pub(crate) struct HttpTap(broadcast::Sender<Arc<HttpExchange>>);

impl Default for HttpTap {
    fn default() -> Self {
        Self(broadcast::channel(MAX_LAG).0)
    }
}

impl HttpTap {
    /// Subscribes to responses from now on; a slow subscriber misses some and receives their number.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<HttpExchange>> {
        self.0.subscribe()
    }

    /// Sends a response to the subscribers without blocking; `response` is not called without subscribers.
    pub(crate) fn send(
        &self,
        response: &dyn Fn() -> RecordedResponse,
        time_of: impl FnOnce(&RecordedResponse) -> Timestamp,
    ) {
        if self.0.receiver_count() == 0 {
            return;
        }
        let response = response();
        let time = time_of(&response);
        let from = time.checked_sub(HTTP_LEAD).unwrap_or(time);
        // An error means that the last subscriber is gone.
        let _ = self.0.send(Arc::new(HttpExchange { from, response }));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Instant;

    use tokio::sync::broadcast::error::RecvError;

    use super::*;

    fn response(status: u16) -> RecordedResponse {
        let url = "http://a.example/".parse().unwrap();
        RecordedResponse { began: Instant::now(), method: "GET".into(), url, status, headers: Vec::new(), body: None }
    }

    #[tokio::test]
    async fn no_response_is_built_without_subscribers_and_a_slow_one_receives_the_number_of_missed() {
        let http_tap = HttpTap::default();
        let asked = Cell::new(0_u16);
        let answer = || {
            asked.set(asked.get() + 1);
            response(asked.get())
        };
        let moment: Timestamp = "2026-01-01T07:00:00Z".parse().unwrap();
        http_tap.send(&answer, |_| moment);
        assert_eq!(asked.get(), 0);
        let mut subscription = http_tap.subscribe();
        for _ in 0..MAX_LAG + 3 {
            http_tap.send(&answer, |_| moment);
        }
        assert!(matches!(subscription.recv().await, Err(RecvError::Lagged(3))));
        let next = subscription.recv().await.unwrap();
        assert_eq!((next.response.status, next.from), (4, moment - HTTP_LEAD));
        drop(subscription);
        http_tap.send(&answer, |_| moment);
        assert_eq!(usize::from(asked.get()), MAX_LAG + 3);
    }
}
