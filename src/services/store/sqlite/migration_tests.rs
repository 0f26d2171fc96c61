//! Tests of migrations: databases of every older version, created by the statements of that version, are migrated without loss.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;

use crate::effect::Effect;
use crate::services::store::sqlite::error::FILE;
use crate::services::store::sqlite::schema::MIGRATIONS;
use crate::services::store::{OutcomeFilter, PayloadFidelity, RunQuery, Store};
use crate::value::{Value, map_of};

/// Tables of version 1, as the first rhaid created them.
const FIRST: &str = "
    CREATE TABLE state (space TEXT, key TEXT, value TEXT NOT NULL, PRIMARY KEY (space, key)) STRICT, WITHOUT ROWID;
    CREATE TABLE timer (owner TEXT, name TEXT, due TEXT NOT NULL, data TEXT NOT NULL,
        PRIMARY KEY (owner, name)) STRICT, WITHOUT ROWID;
    CREATE TABLE source (script TEXT PRIMARY KEY, version INTEGER NOT NULL, files TEXT) STRICT, WITHOUT ROWID;
    CREATE TABLE note (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE run (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, script TEXT NOT NULL, version INTEGER NOT NULL,
        trigger TEXT NOT NULL, event TEXT NOT NULL, facts TEXT NOT NULL, queued INTEGER NOT NULL, started INTEGER,
        ended INTEGER NOT NULL, class INTEGER NOT NULL, outcome TEXT NOT NULL, why TEXT, effects TEXT NOT NULL) STRICT;
    CREATE INDEX run_script ON run (script);
    CREATE INDEX run_class ON run (class);
    CREATE INDEX run_failed ON run (script) WHERE class = 2;
";

/// A row for every table but that of runs, with the columns of version 1.
const CONTENT: &str = r#"
    INSERT INTO state (space, key, value) VALUES ('script:a', 'count', '3');
    INSERT INTO timer (owner, name, due, data) VALUES ('a', 'nag', '2030-01-01T00:00:00Z', '{"id":7}');
    INSERT INTO source (script, version, files) VALUES ('a', 4, '[["a.rhai","1"]]');
    INSERT INTO note (key, value) VALUES ('disabled:b', 'true');
"#;

/// A run, with the columns of version 1.
const RUN: &str = r#"
    INSERT INTO run (seq, id, script, version, trigger, event, facts, queued, started, ended, class, outcome, why, effects)
        VALUES (1, '1hq3xyz000001', 'a', 4, 'cron', 'cron 0 7 * * *', '{"missed":0}', 1800000000000000, 1800000000000000,
        1800000001000000, 2, 'failed', 'a.rhai:1:1: why', '[{"after_us":7,"what":"info","with":"hello"}]');
"#;

/// Last version of the tables with a column for each field of a run; later ones are only written by the current code.
const LAST_WITH_COLUMNS: usize = 5;

/// Creates and fills the tables of a version, and checks that the current version reads the rows.
fn migrate_from(version: usize, tables: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let db = Connection::open(folder.path().join(FILE)).unwrap();
    tables.iter().for_each(|tables| db.execute_batch(tables).unwrap());
    db.execute_batch(CONTENT).unwrap();
    db.execute_batch(RUN).unwrap();
    db.pragma_update(None, "user_version", version as i64).unwrap();
    drop(db);
    for again in ["first start", "second start"] {
        let store = Store::open(folder.path()).unwrap();
        let case = format!("tables of version {version}, {again}");
        assert_eq!(store.value("script:a", "count").unwrap(), Some(Value::Int(3)), "{case}");
        let timer = store.timer("a", "nag").unwrap().unwrap();
        assert_eq!((timer.due.as_second(), timer.data.to_json_text().as_str()), (1_893_456_000, r#"{"id":7}"#));
        assert_eq!(store.accepted_version("a").unwrap().map(|accepted| accepted.version), Some(4), "{case}");
        assert_eq!(store.metadata("disabled:b"), Some(Value::Bool(true)), "{case}");
        let records = store.runs(&RunQuery { only: Some(OutcomeFilter::Failed), ..RunQuery::default() }).unwrap();
        assert_eq!(records.len(), 1, "{case}");
        assert_eq!((records[0].id.as_str(), records[0].why.as_deref()), ("1hq3xyz000001", Some("a.rhai:1:1: why")));
        assert_eq!(records[0].queued.as_second(), 1_800_000_000, "{case}");
        assert_eq!((records[0].version, records[0].outcome.as_str(), &*records[0].trigger), (4, "failed", "cron"));
        let missed = Value::Map(map_of([("missed".to_owned(), Value::Int(0))]));
        assert_eq!((&records[0].payload, records[0].fidelity), (&missed, PayloadFidelity::Cut), "{case}");
        let effects = [Effect { after: Duration::from_micros(7), ..Effect::new("info", "hello") }];
        assert_eq!(
            (&records[0].effects[..], records[0].started.map(Timestamp::as_second)),
            (&effects[..], Some(1_800_000_000))
        );
        assert_eq!(store.run("001").unwrap().unwrap().event, "cron 0 7 * * *", "{case}");
    }
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let renamed: Vec<_> = names.filter(|name| name.to_string_lossy().contains("unreadable")).collect();
    assert!(renamed.is_empty(), "{renamed:?}");
}

#[test]
fn a_database_of_the_first_version_is_migrated_without_loss() {
    migrate_from(1, &[FIRST]);
}

#[test]
fn a_database_of_every_older_version_is_migrated_without_loss() {
    for version in 1..=LAST_WITH_COLUMNS {
        migrate_from(version, &MIGRATIONS[..version]);
    }
}
