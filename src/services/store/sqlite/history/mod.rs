//! Run history: the tables `run`, `omitted`, `series` and `usage`.

mod json_run;
mod omitted;
mod records;
mod retention;
mod series;
mod usage;

pub(super) use self::omitted::list as list_omitted;
pub(super) use self::records::{get, list};
pub(super) use self::retention::HistoryUsage;
