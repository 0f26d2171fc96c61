//! Retries and their delays.

use std::time::Duration;

use jiff::fmt::rfc2822;

use crate::services::http::error::Error;
use crate::services::http::response::HttpResponse;

/// Maximum backoff.
const MAX_BACKOFF: Duration = Duration::from_secs(120);

/// A retry policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Maximum number of retries.
    pub max: u32,
    /// The first delay; it doubles with each retry.
    pub backoff: Duration,
    /// Causes of a retry.
    pub on: Vec<RetryCause>,
    /// Methods that are retried if the server may have received the request.
    pub methods: Vec<String>,
}

/// A cause of a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryCause {
    /// A response with this status.
    Status(u16),
    /// No connection, or the connection was lost.
    Connect,
    /// The connect or the read timeout has passed.
    Timeout,
}

impl RetryPolicy {
    /// Methods that are retried by default.
    ///
    /// Source: RFC 9110, section 9.2.2.
    pub const IDEMPOTENT: [&'static str; 6] = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];

    /// Default causes of a retry.
    pub const DEFAULT_CAUSES: [RetryCause; 6] = [
        RetryCause::Status(429),
        RetryCause::Status(502),
        RetryCause::Status(503),
        RetryCause::Status(504),
        RetryCause::Connect,
        RetryCause::Timeout,
    ];

    /// Returns a policy without retries.
    pub fn never() -> Self {
        Self {
            max: 0,
            backoff: Duration::from_millis(500),
            on: Self::DEFAULT_CAUSES.into(),
            methods: Self::IDEMPOTENT.map(str::to_owned).into(),
        }
    }

    /// Returns the delay before the next attempt, or `None` for no further attempt; `attempts` is the number of attempts so far.
    pub(super) fn delay(
        &self,
        method: &str,
        attempts: u32,
        outcome: Result<&HttpResponse, &Error>,
    ) -> Option<Duration> {
        if attempts > self.max || !self.is_retryable(method, outcome) {
            return None;
        }
        let request = outcome.ok().and_then(retry_after);
        Some(request.unwrap_or_else(|| {
            let longest = self.backoff.saturating_mul(1 << (attempts - 1).min(20)).min(MAX_BACKOFF);
            longest.mul_f64(jitter())
        }))
    }

    fn is_retryable(&self, method: &str, outcome: Result<&HttpResponse, &Error>) -> bool {
        let cause = match outcome {
            Ok(response) => RetryCause::Status(response.status),
            Err(Error::Connect(_) | Error::ConnectionLost(_) | Error::Proxy(_)) => RetryCause::Connect,
            Err(Error::ConnectTimeout(_) | Error::ReadTimeout(_)) => RetryCause::Timeout,
            Err(_) => return false,
        };
        // A request that was not sent is safe to retry.
        let is_unsent = matches!(outcome, Err(Error::Connect(_) | Error::Proxy(_) | Error::ConnectTimeout(_)));
        self.on.contains(&cause) && (is_unsent || self.methods.iter().any(|known| known == method))
    }
}

/// Returns the delay given by `Retry-After`.
///
/// Source: RFC 9110, section 10.2.3. A date is compared with the server's `Date`, so that clock differences do not matter.
fn retry_after(response: &HttpResponse) -> Option<Duration> {
    let written = response.header("retry-after").next()?.trim();
    if let Ok(seconds) = written.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = |text: &str| rfc2822::parse(text).ok().map(|at| at.timestamp());
    let wait = moment(written)?.duration_since(moment(response.header("date").next()?)?);
    Some(wait.try_into().unwrap_or_default())
}

/// Returns a random factor from 0.5 to 1, so that clients that failed together do not retry together.
fn jitter() -> f64 {
    let mut bytes = [0];
    // The longest delay, if random bytes are unavailable.
    match crate::random::fill(&mut bytes) {
        Ok(()) => 0.5 + f64::from(bytes[0]) / 510.0,
        Err(_) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::http::response::SentRequest;

    fn response(status: u16, headers: &[(&str, &str)]) -> HttpResponse {
        HttpResponse {
            status,
            reason: String::new(),
            version: "HTTP/1.1".into(),
            headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            body: bytes::Bytes::new(),
            saved: None,
            url: "http://a.example/".parse().unwrap(),
            elapsed: Duration::ZERO,
            request: SentRequest { method: "GET".into(), headers: Vec::new() },
            history: Vec::new(),
        }
    }

    #[test]
    fn only_idempotent_or_unsent_requests_are_retried() {
        let retry = RetryPolicy { max: 2, ..RetryPolicy::never() };
        let (busy, closed) = (response(503, &[]), Error::ConnectionLost("closed".into()));
        assert!(retry.delay("GET", 1, Ok(&busy)).is_some());
        assert_eq!(retry.delay("GET", 3, Ok(&busy)), None);
        assert_eq!(retry.delay("POST", 1, Ok(&busy)), None);
        assert_eq!(retry.delay("POST", 1, Err(&closed)), None);
        assert!(retry.delay("POST", 1, Err(&Error::Connect("refused".into()))).is_some());
        assert_eq!(retry.delay("GET", 1, Ok(&response(500, &[]))), None);
        assert_eq!(retry.delay("GET", 1, Err(&Error::Timeout(MAX_BACKOFF))), None);
        assert_eq!(RetryPolicy::never().delay("GET", 1, Ok(&busy)), None);
    }

    #[test]
    fn delays_double_and_retry_after_replaces_them() {
        let retry = RetryPolicy { max: 9, backoff: Duration::from_secs(1), ..RetryPolicy::never() };
        let third = retry.delay("GET", 3, Ok(&response(503, &[]))).unwrap();
        assert!(third >= Duration::from_secs(2) && third <= Duration::from_secs(4), "{third:?}");
        let request = |headers: &[_]| retry.delay("GET", 1, Ok(&response(429, headers))).unwrap();
        assert_eq!(request(&[("retry-after", "7")]), Duration::from_secs(7));
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(request(&[date, ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")]), Duration::from_secs(30));
        assert_eq!(request(&[date, ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")]), Duration::ZERO);
        assert!(request(&[("retry-after", "soon")]) <= Duration::from_secs(1));
    }
}
