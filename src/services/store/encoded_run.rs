//! Stored form of run records: the fields that queries and the retention policy use, and all others as one binary value.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::effect::Effect;
use crate::services::store::codec::{Decoder, Encoder};
use crate::services::store::run_record::{OutcomeClass, OutcomeFilter, PayloadFidelity, RunQuery, RunRecord};

/// First byte of the binary value; another form gets another number. Older rows are JSON and start with `{`.
const FORM: u8 = 1;
/// Outcomes by their number in the binary value. Entries are only ever added.
const OUTCOMES: &[&str] = &["succeeded", "failed", "timed out", "cancelled", "skipped"];
/// Memory of a record besides its binary value, in bytes.
const OVERHEAD: usize = 160;

/// Run record in its stored form.
#[derive(Debug, Clone)]
pub struct EncodedRun {
    /// The run's id.
    pub id: String,
    /// The script's name.
    pub script: Arc<str>,
    /// The trigger's name.
    pub trigger: Arc<str>,
    /// When the run ended, or the event was skipped.
    pub ended: Timestamp,
    /// All other fields.
    pub data: Vec<u8>,
    pub(super) class: OutcomeClass,
}

/// Fields of a new run record.
#[derive(Debug)]
pub struct NewRun<'a> {
    /// The run's id.
    pub id: &'a str,
    /// The script's name.
    pub script: Arc<str>,
    /// The script's version.
    pub version: u64,
    /// The trigger's name.
    pub trigger: Arc<str>,
    /// The event in one line.
    pub event: &'a str,
    /// The event's payload: one value.
    pub payload: &'a Encoder,
    /// How much of the payload is stored.
    pub fidelity: PayloadFidelity,
    /// Number of earlier attempts.
    pub attempt: u32,
    /// When the event happened.
    pub queued: Timestamp,
    /// When the run started, if it did.
    pub started: Option<Timestamp>,
    /// When the run ended, or the event was skipped.
    pub ended: Timestamp,
    /// `succeeded`, `failed`, `timed out`, `cancelled` or `skipped`.
    pub outcome: &'a str,
    /// Fault report, or the reason of the skip.
    pub why: Option<&'a str>,
    /// Effects and log lines of the run, in order.
    pub effects: &'a [Effect],
}

impl NewRun<'_> {
    /// Returns the stored form.
    pub fn encode(self) -> EncodedRun {
        let mut data = Encoder::with_capacity(256);
        data.byte(FORM);
        data.unsigned(self.version);
        data.unsigned(u64::from(self.attempt));
        data.signed(self.queued.as_microsecond());
        option(&mut data, self.started.as_ref(), |data, started| data.signed(started.as_microsecond()));
        match OUTCOMES.iter().position(|outcome| *outcome == self.outcome) {
            Some(number) => data.byte(number as u8),
            None => {
                data.byte(u8::MAX);
                data.name(self.outcome);
            }
        }
        data.byte(self.fidelity as u8);
        data.name(self.event);
        option(&mut data, self.why, |data, why| data.name(why));
        data.nested(self.payload);
        data.unsigned(self.effects.len() as u64);
        self.effects.iter().for_each(|effect| encode_effect(&mut data, effect));
        EncodedRun {
            id: self.id.to_owned(),
            script: self.script,
            trigger: self.trigger,
            ended: self.ended,
            data: data.into_bytes(),
            class: OutcomeClass::of(self.outcome),
        }
    }
}

impl From<RunRecord> for EncodedRun {
    fn from(record: RunRecord) -> Self {
        let mut payload = Encoder::default();
        payload.value(&record.payload);
        let run = NewRun {
            id: &record.id,
            script: record.script.as_str().into(),
            version: record.version,
            trigger: record.trigger.as_str().into(),
            event: &record.event,
            payload: &payload,
            fidelity: record.fidelity,
            attempt: record.attempt,
            queued: record.queued,
            started: record.started,
            ended: record.ended,
            outcome: &record.outcome,
            why: record.why.as_deref(),
            effects: &record.effects,
        };
        run.encode()
    }
}

impl EncodedRun {
    /// Returns the record; `None` if its binary value cannot be read.
    ///
    /// A payload that nests too deeply is left out.
    pub fn decode(&self) -> Option<RunRecord> {
        let mut data = Decoder::new(&self.data);
        if data.byte()? != FORM {
            return None;
        }
        let time = |micros: i64| Timestamp::from_microsecond(micros).ok();
        Some(RunRecord {
            version: data.unsigned()?,
            attempt: u32::try_from(data.unsigned()?).ok()?,
            queued: time(data.signed()?)?,
            started: match data.byte()? {
                0 => None,
                _ => Some(time(data.signed()?)?),
            },
            outcome: match data.byte()? {
                u8::MAX => data.name()?,
                number => (*OUTCOMES.get(usize::from(number))?).to_owned(),
            },
            fidelity: PayloadFidelity::of_number(data.byte()?),
            event: data.name()?,
            why: match data.byte()? {
                0 => None,
                _ => Some(data.name()?),
            },
            payload: Decoder::new(data.slice()?).value().unwrap_or_default(),
            effects: (0..data.unsigned()?).map(|_| decode_effect(&mut data)).collect::<Option<_>>()?,
            id: self.id.clone(),
            script: self.script.to_string(),
            trigger: self.trigger.to_string(),
            ended: self.ended,
        })
    }

    /// Returns whether the record passes the filters of a query.
    pub(super) fn matches(&self, query: &RunQuery) -> bool {
        query.script.as_deref().is_none_or(|script| script == &*self.script)
            && query.trigger.as_deref().is_none_or(|trigger| trigger == &*self.trigger)
            && query.since.is_none_or(|since| self.ended >= since)
            && match query.only {
                None => true,
                Some(OutcomeFilter::Failed) => self.class == OutcomeClass::Failed,
                Some(OutcomeFilter::Skipped) => self.class == OutcomeClass::Skipped,
            }
    }

    /// Returns about how many bytes of memory the record takes.
    pub(super) fn weight(&self) -> usize {
        OVERHEAD + self.data.len()
    }
}

fn option<T>(data: &mut Encoder, value: Option<T>, write: impl FnOnce(&mut Encoder, T)) {
    data.byte(u8::from(value.is_some()));
    if let Some(value) = value {
        write(data, value);
    }
}

fn encode_effect(data: &mut Encoder, effect: &Effect) {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    data.unsigned(micros(effect.after));
    data.unsigned(micros(effect.took));
    data.byte(u8::from(effect.deferred));
    for text in [&*effect.action, &effect.details, &effect.result, &effect.fault] {
        data.name(text);
    }
}

fn decode_effect(data: &mut Decoder<'_>) -> Option<Effect> {
    Some(Effect {
        after: Duration::from_micros(data.unsigned()?),
        took: Duration::from_micros(data.unsigned()?),
        deferred: data.byte()? != 0,
        action: Cow::Owned(data.name()?),
        details: data.name()?,
        result: data.name()?,
        fault: data.name()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Value, map_of};

    #[test]
    fn a_record_is_read_back() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let record = RunRecord {
            id: "1hq3xyz000001".into(),
            script: "a".into(),
            version: 300,
            trigger: "cron".into(),
            event: "cron 0 7 * * *".into(),
            payload: Value::Map(map_of([("missed".into(), Value::Int(0))])),
            fidelity: PayloadFidelity::Masked,
            attempt: 2,
            queued: at(1_800_000_000),
            started: Some(at(1_800_000_001)),
            ended: at(1_800_000_002),
            outcome: "timed out".into(),
            why: Some("a.rhai:1:1: why".into()),
            effects: vec![Effect {
                after: Duration::from_micros(1_500),
                took: Duration::from_millis(2),
                result: "200".into(),
                fault: "timeout: no".into(),
                deferred: true,
                ..Effect::new("http_get", "GET http://x/")
            }],
        };
        let plain =
            RunRecord { started: None, why: None, effects: Vec::new(), outcome: "new".into(), ..record.clone() };
        for record in [record, plain] {
            let encoded = EncodedRun::from(record.clone());
            assert_eq!(format!("{:?}", encoded.decode().unwrap()), format!("{record:?}"));
            let shortened = EncodedRun { data: encoded.data[..encoded.data.len() - 1].to_vec(), ..encoded };
            assert!(shortened.decode().is_none());
        }
    }
}
