//! Messages that are shown as they come, while lines are typed.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::cli::terminal::{Style, paint, sanitize};
use crate::services::mqtt::{Mqtt, Retained};
use crate::topic::Filter;

/// Prints something while a line may be being typed.
pub(super) type Printer = Box<dyn FnMut(&str) + Send>;

/// The topics whose messages are shown.
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

    /// Shows the messages of a topic from now on, also the retained ones.
    pub(super) fn begin(&mut self, topic: &str) -> Result<(), String> {
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
        self.end_one(topic);
        self.topics.push((topic.to_owned(), task.abort_handle()));
        Ok(())
    }

    /// Shows the messages of a topic no longer, or of none.
    pub(super) fn end(&mut self, topic: &str) {
        match topic {
            "" => self.topics.drain(..).for_each(|(_, task)| task.abort()),
            topic => self.end_one(topic),
        }
    }

    fn end_one(&mut self, topic: &str) {
        self.topics.retain(|(known, task)| {
            let is_it = known == topic;
            if is_it {
                task.abort();
            }
            !is_it
        });
    }
}
