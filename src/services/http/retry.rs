//! When a request is sent again, and after which pause.

use std::time::Duration;

use jiff::fmt::rfc2822;

use crate::services::http::{Answer, Error};

/// The longest pause of our own.
const LONGEST: Duration = Duration::from_secs(120);

/// When a request is sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// How often at most, after the first time.
    pub max: u32,
    /// The first pause; each one is twice as long as the one before.
    pub backoff: Duration,
    /// What makes it worth another try.
    pub on: Vec<Cause>,
    /// The methods that may be repeated when the server may have seen the request.
    pub methods: Vec<String>,
}

/// What makes a request worth another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// An answer with this status.
    Status(u16),
    /// There is no connection, or it broke.
    Connect,
    /// A limit of time passed, but not that of everything together.
    Timeout,
}

impl Retry {
    /// What may be repeated unless the script says otherwise.
    ///
    /// Source: RFC 9110, section 9.2.2.
    pub const IDEMPOTENT: [&'static str; 6] = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];

    /// What is worth another try unless the script says otherwise.
    pub const ON: [Cause; 6] = [
        Cause::Status(429),
        Cause::Status(502),
        Cause::Status(503),
        Cause::Status(504),
        Cause::Connect,
        Cause::Timeout,
    ];

    /// Sends everything once.
    pub fn never() -> Self {
        Self {
            max: 0,
            backoff: Duration::from_millis(500),
            on: Self::ON.into(),
            methods: Self::IDEMPOTENT.map(str::to_owned).into(),
        }
    }

    /// Returns the pause before the next try, if there is to be one; `tries` is how many there have been.
    pub(super) fn pause(&self, method: &str, tries: u32, outcome: Result<&Answer, &Error>) -> Option<Duration> {
        if tries > self.max || !self.is_worth(method, outcome) {
            return None;
        }
        let asked = outcome.ok().and_then(retry_after);
        Some(asked.unwrap_or_else(|| {
            let longest = self.backoff.saturating_mul(1 << (tries - 1).min(20)).min(LONGEST);
            longest.mul_f64(chance())
        }))
    }

    fn is_worth(&self, method: &str, outcome: Result<&Answer, &Error>) -> bool {
        let cause = match outcome {
            Ok(answer) => Cause::Status(answer.status),
            Err(Error::Connect(_) | Error::Broken(_) | Error::Proxy(_)) => Cause::Connect,
            Err(Error::ConnectTimeout(_) | Error::ReadTimeout(_)) => Cause::Timeout,
            Err(_) => return false,
        };
        // What never left is safe to send again.
        let is_unsent = matches!(outcome, Err(Error::Connect(_) | Error::Proxy(_) | Error::ConnectTimeout(_)));
        self.on.contains(&cause) && (is_unsent || self.methods.iter().any(|known| known == method))
    }
}

/// Returns how long the server wants us to wait.
///
/// Source: RFC 9110, section 10.2.3; a date is counted from the server's own, so that no clock but its matters.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let written = answer.header("retry-after").next()?.trim();
    if let Ok(seconds) = written.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = |text: &str| rfc2822::parse(text).ok().map(|at| at.timestamp());
    let wait = moment(written)?.duration_since(moment(answer.header("date").next()?)?);
    Some(wait.try_into().unwrap_or_default())
}

/// Returns a number from a half to one, so that many who failed together do not come back together.
fn chance() -> f64 {
    let mut bytes = [0];
    // Without chance the pause is the longest.
    match crate::random::fill(&mut bytes) {
        Ok(()) => 0.5 + f64::from(bytes[0]) / 510.0,
        Err(_) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::http::answer::Asked;

    fn answer(status: u16, headers: &[(&str, &str)]) -> Answer {
        Answer {
            status,
            reason: String::new(),
            version: "HTTP/1.1".into(),
            headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            body: bytes::Bytes::new(),
            saved: None,
            url: "http://a.example/".parse().unwrap(),
            elapsed: Duration::ZERO,
            asked: Asked { method: "GET".into(), headers: Vec::new() },
            history: Vec::new(),
        }
    }

    #[test]
    fn only_what_may_be_repeated_is() {
        let retry = Retry { max: 2, ..Retry::never() };
        let (busy, closed) = (answer(503, &[]), Error::Broken("closed".into()));
        assert!(retry.pause("GET", 1, Ok(&busy)).is_some());
        assert_eq!(retry.pause("GET", 3, Ok(&busy)), None);
        assert_eq!(retry.pause("POST", 1, Ok(&busy)), None);
        assert_eq!(retry.pause("POST", 1, Err(&closed)), None);
        assert!(retry.pause("POST", 1, Err(&Error::Connect("refused".into()))).is_some());
        assert_eq!(retry.pause("GET", 1, Ok(&answer(500, &[]))), None);
        assert_eq!(retry.pause("GET", 1, Err(&Error::Timeout(LONGEST))), None);
        assert_eq!(Retry::never().pause("GET", 1, Ok(&busy)), None);
    }

    #[test]
    fn pauses_double_and_the_server_may_ask_for_another() {
        let retry = Retry { max: 9, backoff: Duration::from_secs(1), ..Retry::never() };
        let third = retry.pause("GET", 3, Ok(&answer(503, &[]))).unwrap();
        assert!(third >= Duration::from_secs(2) && third <= Duration::from_secs(4), "{third:?}");
        let asked = |headers: &[_]| retry.pause("GET", 1, Ok(&answer(429, headers))).unwrap();
        assert_eq!(asked(&[("retry-after", "7")]), Duration::from_secs(7));
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(asked(&[date, ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")]), Duration::from_secs(30));
        assert_eq!(asked(&[date, ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")]), Duration::ZERO);
        assert!(asked(&[("retry-after", "soon")]) <= Duration::from_secs(1));
    }
}
