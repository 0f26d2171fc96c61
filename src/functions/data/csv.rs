//! CSV.

use rhai::plugin::*;

use crate::functions::arguments::{MAX_ITEMS, parse_options};
use crate::functions::thrown::{Thrown, invalid_argument, thrown, too_large};
use crate::value::Value;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "csv", functions);
}

/// Options of `parse_csv`.
struct CsvOptions {
    header: bool,
    delimiter: u8,
}

fn csv_options(written: &rhai::Map) -> Result<CsvOptions, Thrown> {
    let mut options = parse_options(written)?;
    let header = options.bool("header").map_err(invalid_argument)?.unwrap_or(true);
    let delimiter = options
        .read("delimiter", |value| match value {
            Value::Text(text) if text.len() == 1 && text.is_ascii() && !matches!(text.as_str(), "\n" | "\r" | "\"") => {
                Ok(text.as_bytes()[0])
            }
            _ => Err("write one ASCII character, such as \";\"".to_owned()),
        })
        .map_err(invalid_argument)?
        .unwrap_or(b',');
    options.finish().map_err(invalid_argument)?;
    Ok(CsvOptions { header, delimiter })
}

fn rows(text: &str, options: &CsvOptions) -> Result<rhai::Array, Thrown> {
    let undecodable = |error: ::csv::Error| thrown("decode", format!("invalid CSV: {error}"));
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(options.header)
        .delimiter(options.delimiter)
        .flexible(!options.header)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let names: Vec<rhai::Identifier> = if options.header {
        reader.headers().map_err(undecodable)?.iter().map(Into::into).collect()
    } else {
        Vec::new()
    };
    let mut left = MAX_ITEMS;
    let mut rows = rhai::Array::new();
    for record in reader.records() {
        let record = record.map_err(undecodable)?;
        left = left.checked_sub(record.len() + 1).ok_or_else(|| too_large("the table", MAX_ITEMS, "cells"))?;
        rows.push(if options.header {
            let cells = names.iter().cloned().zip(record.iter().map(Into::into)).collect();
            Dynamic::from_map(cells)
        } else {
            Dynamic::from_array(record.iter().map(Into::into).collect())
        });
    }
    Ok(rows)
}

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Parses CSV. The first row contains the column names; each other row becomes a map of strings.
    ///
    /// Options: `header` (`false`: there is no header, and every row becomes an array), `delimiter` (default `,`).
    ///
    /// # Example
    /// ```rhai
    /// let rows = parse_csv("room,celsius\nbath,21.5\n\"attic, left\",18");
    /// assert_eq(rows[1].room, "attic, left");
    /// assert_eq(parse_float(rows[0].celsius), 21.5);
    /// assert_eq(parse_csv("1;2", #{ header: false, delimiter: ";" }), [["1", "2"]]);
    /// ```
    #[rhai_fn(name = "parse_csv", return_raw)]
    pub fn parse_csv(text: &str) -> Result<rhai::Array, Thrown> {
        rows(text, &CsvOptions { header: true, delimiter: b',' })
    }

    #[rhai_fn(name = "parse_csv", return_raw)]
    pub fn parse_csv_with(text: &str, options: rhai::Map) -> Result<rhai::Array, Thrown> {
        rows(text, &csv_options(&options)?)
    }
}
