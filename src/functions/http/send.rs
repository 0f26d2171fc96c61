//! Sends requests.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio_util::task::AbortOnDropHandle;

use crate::config::{Denied, Need};
use crate::functions::context::Context;
use crate::functions::effects::DryRun;
use crate::functions::http::call::Call;
use crate::functions::http::recorded_response::RecordedResponse;
use crate::functions::http::response::{Response, request_error};
use crate::functions::phase::context;
use crate::functions::thrown::{Thrown, thrown};
use crate::services::http::{Failure, ReceivedResponse, Request, RequestGuard};

/// Checks the permissions of a script for the hosts of its requests.
struct PermissionGuard(Arc<Context>);

impl RequestGuard for PermissionGuard {
    fn check_host(&self, host: &str, port: u16) -> Result<(), Denied> {
        self.0.config.permissions.check(&self.0.script, Need::Host(host, port))
    }

    fn check_address(&self, host: &str, port: u16, address: IpAddr) -> Result<(), Denied> {
        self.0.config.permissions.check_address(&self.0.script, host, port, address)
    }

    fn check_unknown(&self, host: &str, port: u16) -> Result<(), Denied> {
        self.0.config.permissions.check_unknown(&self.0.script, host, port)
    }
}

/// Sends a request and waits for the response.
pub(super) fn send(function: &'static str, call: Call) -> Result<Response, Thrown> {
    let context = context(function)?;
    let url = call.url()?;
    let details = call.summary(&url);
    let request = call.request(function, url, &context)?;
    let max_body = request.max_body;
    context.perform(function, details, DryRun::Fail, |result| {
        let began = Instant::now();
        let outcome = context.wait_for_http(start(&context, request))?.map_err(task_error)?;
        let (request, received) = (&outcome.0, outcome.1.map_err(|failure| request_error(&failure))?);
        context.run_log.record_response(&|| RecordedResponse::new(request, &received, began));
        *result = received.response.status.to_string();
        Ok(match received.body {
            Some(body) => Response::streaming(received.response, body, max_body),
            None => Response::buffered(received.response),
        })
    })
}

/// A request and its result.
type Outcome = Box<(Request, Result<ReceivedResponse, Box<Failure>>)>;

/// Starts a task that sends a request. A task and a function that is not inlined: neither uses the stack of the waiting thread, of which
/// there may be a thousand.
#[inline(never)]
fn start(context: &Arc<Context>, request: Request) -> AbortOnDropHandle<Outcome> {
    let (http, guard) = (context.services.http.clone(), PermissionGuard(context.clone()));
    let work = async move {
        let received = Box::pin(http.send(&request, &guard)).await;
        Box::new((request, received))
    };
    AbortOnDropHandle::new(context.services.http.spawn(&context.runtime, work))
}

/// Resumes the panic of a request task on this thread; a cancelled task means that rhaid is stopping.
fn task_error(error: tokio::task::JoinError) -> Thrown {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => thrown("cancelled", "rhaid is stopping"),
    }
}
