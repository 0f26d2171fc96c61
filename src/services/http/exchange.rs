//! One attempt: requests from the first to the final response, and its body.

use reqwest::header::COOKIE;
use reqwest::multipart::Form;
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

use crate::services::http::body::{ReceivedResponse, ResponseBody};
use crate::services::http::client::proxy_for;
use crate::services::http::connect::{PROGRESS, Progress};
use crate::services::http::driver::PollOnDrop;
use crate::services::http::error::{Error, Failure};
use crate::services::http::guard::RequestGuard;
use crate::services::http::handle::Http;
use crate::services::http::redirect::RequestStep;
use crate::services::http::request::{ConnectOptions, Content, Part, Request, RequestBody, Sink};
use crate::services::http::response::{HttpResponse, SentRequest};

/// Maximum length of the body kept of a redirect or a challenge, in bytes.
const MAX_REDIRECT_BODY: u64 = 64 << 10;

impl Http {
    /// Sends a request once, with all redirects.
    pub(super) async fn attempt(
        &self,
        request: &Request,
        guard: &dyn RequestGuard,
        deadline: Instant,
    ) -> Result<ReceivedResponse, Box<Failure>> {
        let progress = Progress::new(request.timeouts.connect);
        let mut at = request.url.clone();
        // Boxed once, so that it is not copied between wrapper futures.
        let work = Box::pin(self.follow_redirects(request, guard, &progress, deadline, &mut at));
        let outcome = timeout_at(deadline, PROGRESS.scope(progress.clone(), work)).await;
        let (mut response, mut incoming) = outcome.unwrap_or_else(|_| {
            let total = request.timeouts.total;
            let error = if progress.is_connecting() { Error::ConnectTimeout(total) } else { Error::Timeout(total) };
            Err(Failure::new(error, &at, None))
        })?;
        let done = match &request.sink {
            Sink::Stream { .. } => {
                incoming.poll_on_drop = self.driver.clone().map(PollOnDrop);
                return Ok(ReceivedResponse { response, body: Some(incoming) });
            }
            Sink::File { path, limit } if (200..300).contains(&response.status) && request.method != "HEAD" => {
                let saved = incoming.save(path, *limit).await;
                saved.map(|()| response.saved = Some(path.clone()))
            }
            _ => incoming.read_all(request.max_body).await.map(|body| response.body = body),
        };
        match done {
            Ok(()) => Ok(ReceivedResponse { response, body: None }),
            Err(error) => Err(Failure::new(error, &response.url.clone(), Some(response))),
        }
    }

    /// Follows redirects and challenges until the final response; `at` is the current URL.
    async fn follow_redirects(
        &self,
        request: &Request,
        guard: &dyn RequestGuard,
        progress: &Progress,
        deadline: Instant,
        at: &mut Url,
    ) -> Result<(HttpResponse, ResponseBody), Box<Failure>> {
        let failed = |error, url: &Url| Failure::new(error, url, None);
        let mut step = RequestStep::initial(request).map_err(|error| failed(error, &request.url))?;
        let (mut history, mut redirects) = (Vec::new(), 0);
        loop {
            at.clone_from(&step.url);
            let sent = self.step(&step, request, guard, progress).await;
            let (mut response, raw) = sent.map_err(|error| failed(error, &step.url))?;
            let is_timed = !matches!(request.sink, Sink::Stream { is_timed: false });
            let limit = is_timed.then_some((deadline, request.timeouts.total));
            let mut incoming = ResponseBody::new(raw, request.timeouts.read, limit);
            let challenge = step.challenge(&response);
            let redirect_target = request.redirects.and_then(|_| step.redirect_target(&response));
            if challenge.is_none() && redirect_target.is_none() {
                response.history = history;
                return Ok((response, incoming));
            }
            response.body = incoming.read_all(MAX_REDIRECT_BODY).await.unwrap_or_default();
            let url = step.url.clone();
            let next = match (challenge, redirect_target) {
                (Some(challenge), _) => step.authenticate(&challenge),
                (None, Some(_)) if redirects >= request.redirects.unwrap_or_default() => {
                    response.history = history;
                    return Err(Failure::new(Error::TooManyRedirects(redirects), &url, Some(response)));
                }
                (None, redirect_target) => {
                    redirects += 1;
                    step.redirect(response.status, redirect_target.as_ref().unwrap_or(&url))
                }
            };
            step = next.map_err(|error| failed(error, &url))?;
            history.push(response);
        }
    }

    /// Sends one request of the chain.
    async fn step(
        &self,
        step: &RequestStep,
        request: &Request,
        guard: &dyn RequestGuard,
        progress: &Progress,
    ) -> Result<(HttpResponse, reqwest::Response), Error> {
        if let Some(mock) = &self.mock {
            return self.mock_step(&**mock, step, request, guard);
        }
        let options = self.clients.resolve_proxy(&step.url, &request.connect_options);
        let is_proxied = proxy_for(&step.url, &options).is_some();
        let no_connection = Error::ConnectTimeout(request.timeouts.connect);
        let checked =
            progress.connecting(self.check_access(&step.url, &request.connect_options, is_proxied, guard)).await;
        checked.unwrap_or(Err(no_connection))?;
        let mut headers = step.headers.clone();
        if let Some(cookies) = request.cookies.header(&step.url) {
            headers.entry(COOKIE).or_insert(cookies);
        }
        let sent_request = SentRequest::of(&step.method, &step.url, &headers);
        let mut sending =
            self.clients.client(&options)?.request(step.method.clone(), step.url.clone()).headers(headers);
        match &step.body {
            Some(RequestBody::Bytes(bytes, _)) => sending = sending.body(bytes.clone()),
            Some(RequestBody::Multipart(parts)) => sending = sending.multipart(form(parts).await?),
            None => {}
        }
        progress.touch();
        let started = Instant::now();
        let raw = tokio::select! {
            sent = sending.send() => sent.map_err(|error| Error::from_sending(&error, request.timeouts.connect, is_proxied))?,
            limit = until_quiet(progress, request.timeouts.read) => return Err(Error::ReadTimeout(limit)),
        };
        let response = HttpResponse::from_head(&raw, &step.url, &sent_request, started.elapsed());
        for cookies in [Some(&request.cookies), request.session_cookies.as_ref()].into_iter().flatten() {
            cookies.take(raw.headers(), &step.url);
        }
        Ok((response, raw))
    }

    /// Checks access to the host of a URL and all its addresses, and to a proxy that the script has set.
    async fn check_access(
        &self,
        url: &Url,
        options: &ConnectOptions,
        is_proxied: bool,
        guard: &dyn RequestGuard,
    ) -> Result<(), Error> {
        if let Some(proxy) = proxy_for(url, options) {
            self.check_target(proxy, false, guard).await?;
        }
        self.check_target(url, is_proxied, guard).await
    }

    async fn check_target(&self, url: &Url, is_proxied: bool, guard: &dyn RequestGuard) -> Result<(), Error> {
        let host = url.host_str().ok_or_else(|| Error::InvalidUrl(format!("{url} has no host")))?;
        let port = url.port_or_known_default().unwrap_or(80);
        guard.check_host(host, port).map_err(Error::Denied)?;
        let addresses = match url.host() {
            Some(Host::Ipv4(address)) => vec![address.into()],
            Some(Host::Ipv6(address)) => vec![address.into()],
            _ => match self.resolver.pin(host).await {
                Ok(addresses) => addresses,
                // A proxy resolves host names that are unknown here.
                Err(_) if is_proxied => return guard.check_unknown(host, port).map_err(Error::Denied),
                Err(error) => return Err(Error::Connect(format!("the host {host} is not found: {error}"))),
            },
        };
        addresses.into_iter().try_for_each(|address| guard.check_address(host, port, address)).map_err(Error::Denied)
    }
}

/// Completes when the read timeout has passed, if there is one.
async fn until_quiet(progress: &Progress, limit: Option<std::time::Duration>) -> std::time::Duration {
    match limit {
        Some(limit) => {
            progress.until_quiet(limit).await;
            limit
        }
        None => std::future::pending().await,
    }
}

/// Returns a multipart form; file parts are read while they are sent.
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
            let wrong = |_| Error::InvalidOption(format!("files: {content_type:?} is not a content type"));
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
