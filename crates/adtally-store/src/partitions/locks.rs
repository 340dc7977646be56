//! Locks of others that keep rows from being inserted, or partitions from being made.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Text};

/// The table, and those of its partitions that are asked for. Who waits for a lock keeps others out as
/// well as who holds it (PostgreSQL's documentation, "Table-Level Locks": an insert takes ROW EXCLUSIVE,
/// attaching a partition SHARE UPDATE EXCLUSIVE).
const LOOK: &str = "WITH others AS MATERIALIZED ( \
         SELECT relation, mode FROM pg_locks \
         WHERE locktype = 'relation' AND pid IS DISTINCT FROM pg_backend_pid() \
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
           AND mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', \
                        'ExclusiveLock', 'AccessExclusiveLock')) \
     SELECT relname::text AS name, \
            EXISTS (SELECT FROM others WHERE relation = pg_class.oid) AS keeps_from_making, \
            EXISTS (SELECT FROM others WHERE relation = pg_class.oid \
                    AND mode <> 'ShareUpdateExclusiveLock') AS keeps_from_inserting \
     FROM pg_class LEFT JOIN pg_inherits ON inhrelid = pg_class.oid \
     WHERE pg_class.oid = 'events'::regclass \
        OR (relname = ANY($1) AND inhparent = 'events'::regclass AND NOT inhdetachpending)";

const TABLE: &str = "events";

#[derive(QueryableByName, Debug)]
struct Row {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Bool)]
    keeps_from_making: bool,
    #[diesel(sql_type = Bool)]
    keeps_from_inserting: bool,
}

/// What was seen of the partitions of some days.
#[derive(Debug)]
pub(super) struct Locks {
    names: Vec<String>,
    rows: BTreeMap<String, Row>,
}

impl Locks {
    pub(super) fn look(conn: &mut PgConnection, days: &[NaiveDate]) -> QueryResult<Self> {
        let mut locks = Self {
            names: days.iter().map(name_of).collect(),
            rows: BTreeMap::new(),
        };
        locks.look_again(conn)?;
        Ok(locks)
    }

    pub(super) fn look_again(&mut self, conn: &mut PgConnection) -> QueryResult<()> {
        let rows: Vec<Row> = diesel::sql_query(LOOK)
            .bind::<Array<Text>, _>(&self.names)
            .load(conn)?;
        self.rows = rows
            .into_iter()
            .map(|row| (row.name.clone(), row))
            .collect();
        Ok(())
    }

    /// Whether the partition of `day` is locked against inserts; `None` when there is none.
    ///
    /// Where the whole table is, no day is to blame.
    pub(super) fn partition(&self, day: NaiveDate) -> Option<bool> {
        let partition = self.rows.get(&name_of(&day))?;
        Some(partition.keeps_from_inserting && !self.is_table_locked())
    }

    /// Whether no partition can be made now, though rows can be inserted.
    pub(super) fn keep_from_making(&self) -> bool {
        let table = self.rows.get(TABLE);
        table.is_some_and(|table| table.keeps_from_making) && !self.is_table_locked()
    }

    fn is_table_locked(&self) -> bool {
        let table = self.rows.get(TABLE);
        table.is_some_and(|table| table.keeps_from_inserting)
    }
}

fn name_of(day: &NaiveDate) -> String {
    day.format("events_%Y%m%d").to_string()
}
