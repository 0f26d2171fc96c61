//! `rhaid record`: records MQTT messages and HTTP responses in an event file.

mod file;
mod line;
mod responses;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep_until, timeout};

use self::file::Recording;
use self::line::MessageLine;
use self::responses::HttpResponses;
use crate::api::HttpTapMessage;
use crate::cli::environment;
use crate::cli::exit::UsageError;
use crate::cli::settings::{self, Globals};
use crate::cli::signals::Signals;
use crate::cli::terminal;
use crate::config::Config;
use crate::secrets::Mask;
use crate::services::clock::Clock;
use crate::services::mqtt::{Message, Mqtt, Retained, SubscribeOptions, Subscription};
use crate::sim;
use crate::topic::Filter;
use crate::units::{parse_duration, show_duration};

/// Time without a connection to the broker after which a note is printed.
const CONNECT_NOTE: Duration = Duration::from_secs(5);

/// Record MQTT messages and HTTP responses in an event file
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid record --topic 'door/#' --topic 'sensor/+/t' -o day.jsonl --for 24h
  rhaid record --topic 'door/#' --count 10
  rhaid record --topic 'door/#' --http -o events.jsonl

Each message is written at once as one line of JSON, until Ctrl-C. Retained messages are marked `\"retain\": true`. Record the topics to \
which scripts subscribe, not the topics on which they publish.
With --http, the running rhaid sends each HTTP response that its scripts receive. `rhaid simulate` returns it from shortly before the \
event that started the script; the file is sorted at the end. Streams, downloads, bodies over 1 MiB and failed requests are omitted. \
Known secrets, and the values of names such as password, token or authorization, are replaced by ***.")]
pub(super) struct Args {
    /// Topic or topic filter; can be repeated
    #[arg(long = "topic", value_name = "FILTER", required_unless_present = "http")]
    topics: Vec<String>,
    /// Name of the broker in rhaid.yaml [default: the default broker]
    #[arg(long, value_name = "NAME")]
    broker: Option<String>,
    /// Also record the HTTP responses that the scripts of the running rhaid receive
    #[arg(long, requires = "output")]
    http: bool,
    /// Stop after this time
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    period: Option<Duration>,
    /// Stop after this number of lines
    #[arg(long, value_name = "N")]
    count: Option<NonZeroU64>,
    /// New file [default: standard output; required by --http]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Records until a signal, the time limit or the line limit; prints a summary.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = Arc::new(settings::load(globals)?);
    let filters: Result<Vec<_>, _> = args.topics.iter().map(|topic| Filter::parse(topic)).collect();
    let filters = filters.map_err(|why| UsageError(format!("--topic: {why}")))?;
    environment::tokio_runtime()?.block_on(async {
        let signals = Signals::register()?;
        let responses = HttpResponses::open(args.http.then_some(&config.data)).await?;
        let recording = Recording::create(args.output.as_deref(), args.http)?;
        let started = Instant::now();
        let mut session = RecordingSession { args, signals, responses, recording, mask: config.mask() };
        session.record(&config, &filters, started).await?;
        let summary = session.recording.finish(show_duration(started.elapsed()))?;
        terminal::print_error(&format!("{summary}\n"));
        Ok(ExitCode::SUCCESS)
    })
}

/// A recording session: its sources and its file.
struct RecordingSession<'a> {
    args: &'a Args,
    signals: Signals,
    responses: HttpResponses,
    recording: Recording,
    mask: Mask,
}

impl RecordingSession<'_> {
    /// Records until an end condition is met.
    async fn record(&mut self, config: &Config, filters: &[Filter], started: Instant) -> anyhow::Result<()> {
        let mqtt = Mqtt::new(sim::ephemeral_brokers(config)?, &Clock::system(settings::zone(None)?));
        let ends = self.args.period.and_then(|period| started.checked_add(period));
        let end = async move {
            match ends {
                Some(ends) => sleep_until(ends.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(end);
        let mut topics = tokio::select! {
            _ = self.signals.next() => return Ok(()),
            () = &mut end => {
                let broker = address(&mqtt, self.args.broker.as_deref());
                anyhow::ensure!(filters.is_empty(), "no broker answered at {broker}, so nothing was recorded");
                return Ok(());
            }
            subscribed = subscribe(filters, &mqtt, self.args.broker.as_deref()) => subscribed?,
        };
        terminal::print_error(&format!("recording {}; press Ctrl-C to stop\n", self.subject()));
        loop {
            tokio::select! {
                biased;
                _ = self.signals.next() => break,
                () = &mut end => break,
                message = self.responses.next() => if !self.add_response(message)? && topics.is_none() { break },
                message = next(&mut topics) => {
                    let line = MessageLine::new(&message, self.args.broker.as_deref(), &self.mask);
                    self.recording.message(&line, message.received)?;
                }
            }
            if self.args.count.is_some_and(|count| self.recording.lines() >= count.get()) {
                break;
            }
        }
        drop(topics);
        mqtt.close().await;
        Ok(())
    }

    /// Records a message of the HTTP tap; returns whether the connection is still open.
    fn add_response(&mut self, message: Option<HttpTapMessage>) -> anyhow::Result<bool> {
        match message {
            Some(HttpTapMessage::Response(response)) => self.recording.response(&response)?,
            Some(HttpTapMessage::WithoutBody { .. }) => self.recording.left_out += 1,
            Some(HttpTapMessage::Missed { responses }) => self.recording.missed += responses,
            Some(HttpTapMessage::Subscribed) => {}
            None => {
                terminal::print_error("rhaid has stopped: no more HTTP responses are recorded\n");
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn subject(&self) -> String {
        let mut subjects = self.args.topics.clone();
        subjects.extend(self.args.http.then(|| "HTTP responses".to_owned()));
        subjects.join(", ")
    }
}

/// Subscribes to the filters, if any, and waits for the broker; prints a note if this takes long.
async fn subscribe(filters: &[Filter], mqtt: &Mqtt, broker: Option<&str>) -> anyhow::Result<Option<Subscription>> {
    if filters.is_empty() {
        return Ok(None);
    }
    // With QoS 2 every message is delivered with the QoS of its publication.
    let options = SubscribeOptions { qos: 2, retained: Retained::Initial, ..SubscribeOptions::default() };
    let subscribed = mqtt.subscribe_all(filters, options, broker);
    let mut subscription = subscribed.map_err(|why| UsageError(format!("--broker: {why}")))?;
    if let Ok(ready) = timeout(CONNECT_NOTE, subscription.ready()).await {
        return Ok(ready.map(|()| Some(subscription))?);
    }
    terminal::print_error(&format!("no broker answers at {}: waiting\n", address(mqtt, broker)));
    subscription.ready().await?;
    Ok(Some(subscription))
}

/// Returns the address of a broker.
fn address(mqtt: &Mqtt, broker: Option<&str>) -> String {
    let known = mqtt.states().into_iter().find(|(name, ..)| broker.is_none_or(|broker| broker == name));
    known.map_or_else(|| "the broker".to_owned(), |(_, address, _)| address)
}

/// Waits for the next message, or forever without subscription.
async fn next(topics: &mut Option<Subscription>) -> Message {
    match topics {
        Some(subscription) => match subscription.messages.recv().await {
            Some(message) => message,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
