//! `rhaid record`: real traffic, as a file of events.

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
use crate::topic::Filter;
use crate::units::{parse_duration, show_duration};

/// How long a broker may take to be there before that is told.
const PATIENCE: Duration = Duration::from_secs(5);

/// Write the real traffic of topics, and answers of HTTP calls, into a file of events
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid record --topic 'door/#' --topic 'sensor/+/t' -o day.jsonl --for 24h
  rhaid record --topic 'door/#' --count 10
  rhaid record --topic 'door/#' --http -o events.jsonl

One JSON object a line, written as it comes, until Ctrl-C. Messages that the broker had kept are marked `\"retain\": true`. Choose topics
that scripts hear, rather than those on which they answer.
With --http the running rhaid tells each answer that its scripts get, to be given from a moment before what woke the script; the file is
put in order at the end. Streams, downloads, bodies over 1 MiB and calls without an answer are left out.
Known secrets, and the values of names such as password, token or authorization, are written as ***.")]
pub(super) struct Args {
    /// A topic or a filter; may be given more than once
    #[arg(long = "topic", value_name = "FILTER", required_unless_present = "http")]
    topics: Vec<String>,
    /// The broker, by its name in rhaid.yaml; by default the default one
    #[arg(long, value_name = "NAME")]
    broker: Option<String>,
    /// Record also the answers that the running rhaid's scripts get from servers
    #[arg(long, requires = "output")]
    http: bool,
    /// For how long
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    period: Option<Duration>,
    /// How many lines at most
    #[arg(long, value_name = "N")]
    count: Option<NonZeroU64>,
    /// A new file; by default standard output, but --http needs one
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Records until it is told to stop, and says what.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = Arc::new(settings::load(globals)?);
    let filters: Result<Vec<_>, _> = args.topics.iter().map(|topic| Filter::parse(topic)).collect();
    let filters = filters.map_err(|why| UsageError(format!("--topic: {why}")))?;
    environment::tokio_runtime()?.block_on(async {
        let signals = Signals::register()?;
        let answers = HttpResponses::open(args.http.then_some(&config.data)).await?;
        let recording = Recording::begin(args.output.as_deref(), args.http)?;
        let started = Instant::now();
        let mut session = RecordingSession { args, signals, answers, recording, mask: config.mask() };
        session.record(&config, &filters, started).await?;
        let told = session.recording.end(show_duration(started.elapsed()))?;
        terminal::print_error(&format!("{told}\n"));
        Ok(ExitCode::SUCCESS)
    })
}

/// What is recorded, and into what.
struct RecordingSession<'a> {
    args: &'a Args,
    signals: Signals,
    answers: HttpResponses,
    recording: Recording,
    mask: Mask,
}

impl RecordingSession<'_> {
    /// Records until there is a reason to end.
    async fn record(&mut self, config: &Config, filters: &[Filter], started: Instant) -> anyhow::Result<()> {
        let mqtt = Mqtt::new(environment::ephemeral_brokers(config)?, &Clock::system(settings::zone(None)?));
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
        terminal::print_error(&format!("recording {}; Ctrl-C ends it\n", self.subject()));
        loop {
            tokio::select! {
                biased;
                _ = self.signals.next() => break,
                () = &mut end => break,
                heard = self.answers.next() => if !self.note(heard)? && topics.is_none() { break },
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

    /// Notes what the running rhaid tells; returns whether there will be more.
    fn note(&mut self, heard: Option<HttpTapMessage>) -> anyhow::Result<bool> {
        match heard {
            Some(HttpTapMessage::Response(answer)) => self.recording.answer(&answer)?,
            Some(HttpTapMessage::WithoutBody { .. }) => self.recording.left_out += 1,
            Some(HttpTapMessage::Missed { responses }) => self.recording.missed += responses,
            Some(HttpTapMessage::Subscribed) => {}
            None => {
                terminal::print_error("rhaid has stopped: there are no more answers to record\n");
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn subject(&self) -> String {
        let mut subjects = self.args.topics.clone();
        subjects.extend(self.args.http.then(|| "answers of HTTP calls".to_owned()));
        subjects.join(", ")
    }
}

/// Subscribes, if anything is wanted, and waits for the broker; tells when that takes long.
async fn subscribe(filters: &[Filter], mqtt: &Mqtt, broker: Option<&str>) -> anyhow::Result<Option<Subscription>> {
    if filters.is_empty() {
        return Ok(None);
    }
    // With 2, each message comes with the one it was published with.
    let wish = SubscribeOptions { qos: 2, retained: Retained::Initial, ..SubscribeOptions::default() };
    let subscribed = mqtt.subscribe_all(filters, wish, broker);
    let mut subscription = subscribed.map_err(|why| UsageError(format!("--broker: {why}")))?;
    if let Ok(ready) = timeout(PATIENCE, subscription.ready()).await {
        return Ok(ready.map(|()| Some(subscription))?);
    }
    terminal::print_error(&format!("no broker answers at {}: waiting for it\n", address(mqtt, broker)));
    subscription.ready().await?;
    Ok(Some(subscription))
}

/// Returns where a broker is.
fn address(mqtt: &Mqtt, broker: Option<&str>) -> String {
    let known = mqtt.states().into_iter().find(|(name, ..)| broker.is_none_or(|broker| broker == name));
    known.map_or_else(|| "the broker".to_owned(), |(_, address, _)| address)
}

/// Waits for the next message, or for ever if none is wanted.
async fn next(topics: &mut Option<Subscription>) -> Message {
    match topics {
        Some(subscription) => match subscription.messages.recv().await {
            Some(message) => message,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
