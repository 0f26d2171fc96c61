//! Prints messages of subscribed topics while lines are edited.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::cli::terminal::{Style, paint, sanitize};
use crate::services::mqtt::{Mqtt, Retained};
use crate::topic::Filter;

/// Prints text while a line may be being edited.
pub(super) type Printer = Box<dyn FnMut(&str) + Send>;

/// The subscribed topics.
pub(super) struct TopicPrinter {
    printer: Arc<Mutex<Printer>>,
    mqtt: Mqtt,
    tokio: Handle,
    topics: Vec<(String, AbortHandle)>,
}

impl TopicPrinter {
    pub(super) fn new(printer: Printer, mqtt: Mqtt, tokio: Handle) -> Self {
        Self { printer: Arc::new(Mutex::new(printer)), mqtt, tokio, topics: Vec::new() }
    }

    /// Subscribes to a topic and prints its messages, also retained ones.
    pub(super) fn subscribe(&mut self, topic: &str) -> Result<(), String> {
        let filter = Filter::parse(topic)?;
        let mut subscription = {
            let _inside = self.tokio.enter();
            self.mqtt.subscribe(&filter, 0, Retained::Initial, None).map_err(|why| why.to_string())?
        };
        let printer = self.printer.clone();
        let task = self.tokio.spawn(async move {
            while let Some(message) = subscription.messages.recv().await {
                let text = sanitize(&String::from_utf8_lossy(&message.payload));
                let line = format!("{} {text}\n", paint(Style::Name, &sanitize(&message.topic)));
                (printer.lock())(&line);
            }
        });
        self.stop(topic);
        self.topics.push((topic.to_owned(), task.abort_handle()));
        Ok(())
    }

    /// Unsubscribes from a topic, or from all if it is empty.
    pub(super) fn unsubscribe(&mut self, topic: &str) {
        match topic {
            "" => self.topics.drain(..).for_each(|(_, task)| task.abort()),
            topic => self.stop(topic),
        }
    }

    fn stop(&mut self, topic: &str) {
        self.topics.retain(|(known, task)| {
            let is_same = known == topic;
            if is_same {
                task.abort();
            }
            !is_same
        });
    }
}
