//! Run history: the tables `run`, `omitted` and `series`.

mod omitted;
mod records;
mod retention;
mod series;

pub(super) use self::omitted::list as list_omitted;
pub(super) use self::records::{get, list};
pub(super) use self::retention::HistoryUsage;
