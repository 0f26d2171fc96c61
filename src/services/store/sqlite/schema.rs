//! Tables of the database, and migrations from older versions.

use rusqlite::Connection;

/// Migration from each version of the tables to the next; the file's `user_version` holds the version. Entries are only ever added.
pub(super) const MIGRATIONS: &[&str] = &[
    "
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
", "
    ALTER TABLE run ADD COLUMN kept TEXT NOT NULL DEFAULT 'cut';
    ALTER TABLE run ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE run ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
    UPDATE run SET size = 120 + 2 * length(script || trigger) + length(id || event || facts || effects || coalesce(why, ''));
    DROP INDEX run_script;
    DROP INDEX run_class;
    DROP INDEX run_failed;
    CREATE INDEX run_lane ON run (script, trigger, class, seq, size);
    CREATE INDEX run_failed ON run (class) WHERE class = 2;
",
    "
    CREATE TABLE letter (box TEXT NOT NULL, number INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
        qos INTEGER NOT NULL, retain INTEGER NOT NULL, properties TEXT NOT NULL, packet INTEGER,
        received INTEGER NOT NULL, PRIMARY KEY (box, number)) STRICT;
",
    "
    CREATE TABLE told (number INTEGER PRIMARY KEY, listener TEXT NOT NULL, place INTEGER NOT NULL, name TEXT NOT NULL,
        data TEXT NOT NULL, sender TEXT NOT NULL, hops INTEGER NOT NULL, since INTEGER NOT NULL) STRICT;
",
    "
    CREATE TABLE series (number INTEGER PRIMARY KEY, script TEXT NOT NULL, trigger TEXT NOT NULL,
        UNIQUE (script, trigger)) STRICT;
    CREATE TABLE omitted (until INTEGER NOT NULL, series INTEGER NOT NULL, since INTEGER NOT NULL, count INTEGER NOT NULL,
        PRIMARY KEY (until, series, since)) STRICT, WITHOUT ROWID;
",
    // `data` of these rows is JSON, that of newer ones binary.
    "
    INSERT OR IGNORE INTO series (script, trigger) SELECT DISTINCT script, trigger FROM run;
    ALTER TABLE run RENAME TO old_run;
    CREATE TABLE run (seq INTEGER PRIMARY KEY, series INTEGER NOT NULL, class INTEGER NOT NULL, ended INTEGER NOT NULL,
        id TEXT NOT NULL, data BLOB NOT NULL) STRICT;
    INSERT INTO run (seq, series, class, ended, id, data)
        SELECT seq, number, CASE outcome WHEN 'cancelled' THEN 3 ELSE class END, ended, id,
            CAST(json_object('version', version, 'event', event, 'facts', facts, 'kept', kept, 'attempt', attempt,
                'queued', queued, 'started', started, 'outcome', outcome, 'why', why, 'effects', effects) AS BLOB)
        FROM old_run JOIN series USING (script, trigger) ORDER BY seq;
    DROP TABLE old_run;
    CREATE INDEX run_series ON run (series, class);
    CREATE INDEX run_failed ON run (class) WHERE class = 2;
    CREATE TABLE usage (series INTEGER, class INTEGER, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
        PRIMARY KEY (series, class)) STRICT, WITHOUT ROWID;
    INSERT INTO usage SELECT series, class, count(*), sum(40 + length(id) + length(data)) FROM run GROUP BY series, class;
",
];

/// Tables that a start reads in full to find damaged pages; the run history is left out for its size.
pub(super) const CHECKED_TABLES: &[&str] = &["state", "timer", "source", "note", "letter", "told"];

/// Executes the migrations from a version on.
pub(super) fn migrate(db: &mut Connection, from: usize) -> rusqlite::Result<()> {
    for (version, migration) in MIGRATIONS.iter().enumerate().skip(from) {
        let transaction = db.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", version as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}
