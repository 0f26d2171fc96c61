//! Run history: the table `run`.

mod records;
mod retention;

pub(super) use self::records::{get, list};
pub(super) use self::retention::HistoryUsage;
