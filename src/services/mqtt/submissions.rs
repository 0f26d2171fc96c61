//! Published messages on their way to the outbox.

use parking_lot::Mutex;

use crate::services::mqtt::message::Publish;
use crate::services::mqtt::outbox::{Completion, Outbox};
use crate::services::mqtt::store_tracker::StoredSignal;

/// Messages that wait until the session is locked the next time, which moves them to its outbox.
///
/// Scripts so publish without waiting for the connection's task, which holds the session's lock while it processes many packets.
#[derive(Default)]
pub(super) struct Submissions(Mutex<Submitted>);

#[derive(Default)]
struct Submitted {
    messages: Vec<Submission>,
    /// While there is a connection, whose task locks the session soon: how many messages and bytes the outbox had room for when the session was
    /// last locked, less those submitted since.
    room: Option<(usize, usize)>,
}

/// A message with the receivers of its results.
pub(super) struct Submission {
    pub(super) publish: Publish,
    pub(super) on_delivered: Option<Completion>,
    pub(super) on_stored: Option<StoredSignal>,
}

impl Submissions {
    /// Accepts messages from now on. The session must be locked next, so that the room is known.
    pub(super) fn open(&self) {
        self.0.lock().room = Some((0, 0));
    }

    /// Accepts no more messages. The session must be locked next, so that those before are in its outbox.
    pub(super) fn close(&self) {
        self.0.lock().room = None;
    }

    /// Submits a message. Returns it if there is no connection, or if the outbox may be full.
    pub(super) fn submit(&self, submission: Submission) -> Option<Submission> {
        let mut submitted = self.0.lock();
        let Some((messages @ 1.., bytes @ 1..)) = submitted.room else { return Some(submission) };
        submitted.room = Some((messages - 1, bytes.saturating_sub(submission.publish.size())));
        submitted.messages.push(submission);
        None
    }

    /// Moves the messages to the outbox, in order. Returns whether there were some.
    pub(super) fn move_to(&self, outbox: &mut Outbox) -> bool {
        let mut submitted = self.0.lock();
        let messages = std::mem::take(&mut submitted.messages);
        if submitted.room.is_some() {
            let (room, room_bytes) = outbox.room();
            let bytes: usize = messages.iter().map(|submission| submission.publish.size()).sum();
            submitted.room = Some((room.saturating_sub(messages.len()), room_bytes.saturating_sub(bytes)));
        }
        drop(submitted);
        let has_some = !messages.is_empty();
        for Submission { publish, on_delivered, on_stored } in messages {
            outbox.push(publish, on_delivered, on_stored);
        }
        has_some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission(payload: usize) -> Submission {
        let publish = Publish { topic: "t".into(), payload: vec![0; payload].into(), ..Publish::default() };
        Submission { publish, on_delivered: None, on_stored: None }
    }

    #[test]
    fn messages_beyond_the_room_of_the_outbox_are_returned() {
        let (submissions, mut outbox) = (Submissions::default(), Outbox::new(3, 20));
        submissions.open();
        assert!(submissions.submit(submission(1)).is_some(), "the room is not known yet");
        submissions.move_to(&mut outbox);
        for _ in 0..3 {
            assert!(submissions.submit(submission(1)).is_none());
        }
        assert!(submissions.submit(submission(1)).is_some());
        submissions.move_to(&mut outbox);
        assert_eq!(outbox.queued(), 3);
        assert!(submissions.submit(submission(1)).is_some());
        outbox.drop_oldest();
        submissions.move_to(&mut outbox);
        assert!(submissions.submit(submission(1)).is_none());
    }

    #[test]
    fn the_room_in_bytes_counts_too() {
        let (submissions, mut outbox) = (Submissions::default(), Outbox::new(1_000, 20));
        submissions.open();
        submissions.move_to(&mut outbox);
        assert!(submissions.submit(submission(64 << 20)).is_none());
        assert!(submissions.submit(submission(1)).is_some());
    }
    #[test]
    fn messages_submitted_before_the_end_of_a_connection_are_moved_and_later_ones_returned() {
        let (submissions, mut outbox) = (Submissions::default(), Outbox::new(10, 20));
        submissions.move_to(&mut outbox);
        assert!(submissions.submit(submission(1)).is_some());
        submissions.open();
        submissions.move_to(&mut outbox);
        assert!(submissions.submit(submission(1)).is_none());
        submissions.close();
        assert!(submissions.submit(submission(1)).is_some());
        assert!(submissions.move_to(&mut outbox));
        assert_eq!(outbox.queued(), 1);
        assert!(submissions.submit(submission(1)).is_some());
    }
}
