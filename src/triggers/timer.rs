//! `on_timer`: when a timer of the script expires.

use std::time::Duration;

use jiff::Zoned;
use tracing::info;

use crate::event::{Ack, Event, Settlement, TimerKey};
use crate::options::{OptionFault, Options};
use crate::services::Services;
use crate::services::clock::Clock;
use crate::services::store::Timer;
use crate::triggers::event;
use crate::triggers::event_sender::EventSender;
use crate::triggers::kind::{Kind, TryOption, with_data};
use crate::triggers::trigger::{Trigger, TriggerContext};
use crate::triggers::watch::Watch;
use crate::units::show_duration;
use crate::value::{Map, Value, map_of};

/// `on_timer(name, …)`.
pub const KIND: Kind = Kind {
    name: "on_timer",
    arguments: &["name"],
    event: "`timer`: `name`, `data`, `due`, `late`",
    docs: include_str!("on_timer.md"),
    read,
    try_option: Some(TryOption {
        name: "timer",
        value_name: Some("NAME"),
        help: "A timer expires",
        read: |value, data| Ok(with_data([("name", value)], data)),
    }),
};

/// Delay up to which a timer counts as on time: a busy machine, a short stop.
const GRACE: Duration = Duration::from_secs(60);

fn read(arguments: Vec<Value>, options: &mut Options, _: &TriggerContext) -> Result<Box<dyn Trigger>, OptionFault> {
    let name = event::name(arguments, "the timer's name")?;
    let is_skipped = options.word("missed", &[("once", false), ("skip", true)])?.unwrap_or(false);
    let window = options.duration("window")?;
    if is_skipped && window.is_some() {
        let message = "window: contradicts the policy for missed timers: leave out `missed: \"skip\"`".into();
        return Err(OptionFault { option: Some("window".into()), message });
    }
    let latest = if is_skipped { Some(GRACE) } else { window.map(|window| window.max(GRACE)) };
    Ok(Box::new(TimerTrigger { name, latest }))
}

struct TimerTrigger {
    name: String,
    /// Maximum delay; `None`: unlimited.
    latest: Option<Duration>,
}

impl Trigger for TimerTrigger {
    fn summary(&self) -> String {
        format!("on_timer {}", self.name)
    }

    fn watch(&self, sender: EventSender, services: &Services) -> Watch {
        let mut expired = services.timers.listen(sender.owner(), &self.name);
        let (services, summary, latest) = (services.clone(), self.summary(), self.latest);
        Watch::spawn(async move {
            while let Some(timer) = expired.recv().await {
                let key = TimerKey { owner: timer.owner.clone(), name: timer.name.clone(), due: timer.due };
                let late = late(&timer, &services.clock);
                if latest.is_some_and(|latest| late > latest) {
                    let late = show_duration(late);
                    info!(script = sender.owner(), "{summary}: skipped, since it expired {late} ago (`missed`)");
                    services.settle(&Ack::Timer(key), Settlement::Ack);
                    continue;
                }
                sender.tell(timer_event(timer, key, summary.clone(), &services.clock));
            }
        })
    }

    fn matches(&self, given: &Map) -> bool {
        given.get("name").and_then(Value::as_text).is_none_or(|name| name == self.name)
    }

    fn example(&self, _: &Map, services: &Services) -> Map {
        payload(&self.name, Value::Null, services.clock.now_zoned(), 0.0)
    }
}

fn payload(name: &str, data: Value, due: Zoned, late: f64) -> Map {
    map_of([
        ("name".into(), name.into()),
        ("data".into(), data),
        ("due".into(), Value::Time(due)),
        ("late".into(), Value::Float(late)),
    ])
}

fn timer_event(timer: Timer, key: TimerKey, summary: String, clock: &Clock) -> Event {
    let late = late(&timer, clock).as_secs_f64();
    let payload = payload(&timer.name, timer.data, timer.due.to_zoned(clock.zone()), late);
    Event::new(clock.now(), summary, payload).with_ack(Some(Ack::Timer(key)))
}

/// Returns the delay since a timer expired.
fn late(timer: &Timer, clock: &Clock) -> Duration {
    Duration::try_from(clock.now().duration_since(timer.due)).unwrap_or_default()
}
