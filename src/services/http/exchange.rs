//! One attempt: the hops from the first request to the answer that counts, and its body.

use reqwest::header::COOKIE;
use reqwest::multipart::Form;
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

use crate::services::http::client::through;
use crate::services::http::connect::{PROGRESS, Progress};
use crate::services::http::driver::LastLook;
use crate::services::http::redirect::Hop;
use crate::services::http::{
    Answer, Arrived, Asked, Body, ConnectOptions, Content, Error, Failure, Guard, Http, Incoming, Part, Request, Sink,
};

/// What of the body of an answer that leads to another is kept, in bytes.
const PASSED_BODY: u64 = 64 << 10;

impl Http {
    /// Sends a request once, with all redirects.
    pub(super) async fn attempt(
        &self,
        request: &Request,
        guard: &dyn Guard,
        until: Instant,
    ) -> Result<Arrived, Box<Failure>> {
        let progress = Progress::new(request.times.connect);
        let mut at = request.url.clone();
        // Once on the heap, it is not copied from one wrapping into the next.
        let following = Box::pin(self.follow(request, guard, &progress, until, &mut at));
        let followed = timeout_at(until, PROGRESS.scope(progress.clone(), following)).await;
        let (mut answer, mut incoming) = followed.unwrap_or_else(|_| {
            let total = request.times.total;
            let error = if progress.is_connecting() { Error::ConnectTimeout(total) } else { Error::Timeout(total) };
            Err(Failure::new(error, &at, None))
        })?;
        let done = match &request.sink {
            Sink::Stream { .. } => {
                incoming.last_look = self.driver.clone().map(LastLook);
                return Ok(Arrived { answer, incoming: Some(incoming) });
            }
            Sink::File { path, limit } if (200..300).contains(&answer.status) && request.method != "HEAD" => {
                let saved = incoming.save(path, *limit).await;
                saved.map(|()| answer.saved = Some(path.clone()))
            }
            _ => incoming.whole(request.max_body).await.map(|body| answer.body = body),
        };
        match done {
            Ok(()) => Ok(Arrived { answer, incoming: None }),
            Err(error) => Err(Failure::new(error, &answer.url.clone(), Some(answer))),
        }
    }

    /// Goes from hop to hop until there is an answer that leads nowhere else; `at` is where it stands.
    async fn follow(
        &self,
        request: &Request,
        guard: &dyn Guard,
        progress: &Progress,
        until: Instant,
        at: &mut Url,
    ) -> Result<(Answer, Incoming), Box<Failure>> {
        let failed = |error, url: &Url| Failure::new(error, url, None);
        let mut hop = Hop::first(request).map_err(|error| failed(error, &request.url))?;
        let (mut history, mut redirects) = (Vec::new(), 0);
        loop {
            at.clone_from(&hop.url);
            let hopped = self.hop(&hop, request, guard, progress).await;
            let (mut answer, response) = hopped.map_err(|error| failed(error, &hop.url))?;
            let is_timed = !matches!(request.sink, Sink::Stream { is_timed: false });
            let limit = is_timed.then_some((until, request.times.total));
            let mut incoming = Incoming::new(response, request.times.read, limit);
            let demand = hop.demand(&answer);
            let target = request.redirects.and_then(|_| hop.target(&answer));
            if demand.is_none() && target.is_none() {
                answer.history = history;
                return Ok((answer, incoming));
            }
            answer.body = incoming.whole(PASSED_BODY).await.unwrap_or_default();
            let url = hop.url.clone();
            let next = match (demand, target) {
                (Some(demand), _) => hop.proving(&demand),
                (None, Some(_)) if redirects >= request.redirects.unwrap_or_default() => {
                    answer.history = history;
                    return Err(Failure::new(Error::TooManyRedirects(redirects), &url, Some(answer)));
                }
                (None, target) => {
                    redirects += 1;
                    hop.redirected(answer.status, target.as_ref().unwrap_or(&url))
                }
            };
            hop = next.map_err(|error| failed(error, &url))?;
            history.push(answer);
        }
    }

    /// Makes one hop.
    async fn hop(
        &self,
        hop: &Hop,
        request: &Request,
        guard: &dyn Guard,
        progress: &Progress,
    ) -> Result<(Answer, reqwest::Response), Error> {
        if let Some(stage) = &self.stage {
            return self.staged(&**stage, hop, request, guard);
        }
        let way = self.clients.way(&hop.url, &request.way);
        let is_proxied = through(&hop.url, &way).is_some();
        let no_connection = Error::ConnectTimeout(request.times.connect);
        let checked = progress.connecting(self.check(&hop.url, &request.way, is_proxied, guard)).await;
        checked.unwrap_or(Err(no_connection))?;
        let mut headers = hop.headers.clone();
        if let Some(cookies) = request.cookies.header(&hop.url) {
            headers.entry(COOKIE).or_insert(cookies);
        }
        let asked = Asked::of(&hop.method, &hop.url, &headers);
        let mut sending = self.clients.client(&way)?.request(hop.method.clone(), hop.url.clone()).headers(headers);
        match &hop.body {
            Some(Body::Bytes(bytes, _)) => sending = sending.body(bytes.clone()),
            Some(Body::Multipart(parts)) => sending = sending.multipart(form(parts).await?),
            None => {}
        }
        progress.moved();
        let started = Instant::now();
        let response = tokio::select! {
            sent = sending.send() => sent.map_err(|error| Error::from_sending(&error, request.times.connect, is_proxied))?,
            limit = quiet(progress, request.times.read) => return Err(Error::ReadTimeout(limit)),
        };
        let answer = Answer::begun(&response, &hop.url, &asked, started.elapsed());
        for cookies in [Some(&request.cookies), request.kept.as_ref()].into_iter().flatten() {
            cookies.take(response.headers(), &hop.url);
        }
        Ok((answer, response))
    }

    /// Asks the guard about the host of a URL and every address it stands for, and about a proxy that the script wants.
    async fn check(&self, url: &Url, way: &ConnectOptions, is_proxied: bool, guard: &dyn Guard) -> Result<(), Error> {
        if let Some(proxy) = through(url, way) {
            self.check_target(proxy, false, guard).await?;
        }
        self.check_target(url, is_proxied, guard).await
    }

    async fn check_target(&self, url: &Url, is_proxied: bool, guard: &dyn Guard) -> Result<(), Error> {
        let host = url.host_str().ok_or_else(|| Error::InvalidUrl(format!("{url} names no host")))?;
        let port = url.port_or_known_default().unwrap_or(80);
        guard.check_host(host, port).map_err(Error::Denied)?;
        let addresses = match url.host() {
            Some(Host::Ipv4(address)) => vec![address.into()],
            Some(Host::Ipv6(address)) => vec![address.into()],
            _ => match self.resolver.pin(host).await {
                Ok(addresses) => addresses,
                // A proxy resolves for itself what is not known here.
                Err(_) if is_proxied => return guard.check_unknown(host, port).map_err(Error::Denied),
                Err(error) => return Err(Error::Connect(format!("the host {host} is not found: {error}"))),
            },
        };
        addresses.into_iter().try_for_each(|address| guard.check_address(host, port, address)).map_err(Error::Denied)
    }
}

/// Ends when the server has been quiet for longer than the limit, if there is one.
async fn quiet(progress: &Progress, limit: Option<std::time::Duration>) -> std::time::Duration {
    match limit {
        Some(limit) => {
            progress.quiet(limit).await;
            limit
        }
        None => std::future::pending().await,
    }
}

/// Returns a form with files; what is in files is read while it is sent.
async fn form(parts: &[Part]) -> Result<Form, Error> {
    let mut form = Form::new();
    for part in parts {
        let mut sent = match &part.content {
            Content::Bytes(bytes) => reqwest::multipart::Part::stream_with_length(bytes.clone(), bytes.len() as u64),
            Content::File(path) => {
                let opened = reqwest::multipart::Part::file(path).await;
                opened.map_err(|error| Error::File(format!("{}: {error}", path.display())))?
            }
        };
        if let Some(name) = &part.file_name {
            sent = sent.file_name(name.clone());
        }
        if let Some(content_type) = &part.content_type {
            let wrong = |_| Error::InvalidOption(format!("files: {content_type:?} is no content type"));
            sent = sent.mime_str(content_type).map_err(wrong)?;
        }
        let mut headers = reqwest::header::HeaderMap::new();
        for (name, text) in &part.headers {
            let wrong = || Error::InvalidHeader(name.chars().take(80).collect());
            let name = reqwest::header::HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            headers.append(name, reqwest::header::HeaderValue::from_bytes(text.as_bytes()).map_err(|_| wrong())?);
        }
        form = form.part(part.name.clone(), sent.headers(headers));
    }
    Ok(form)
}
