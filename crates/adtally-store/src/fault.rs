//! Whether what PostgreSQL refused will be refused again: one table over SQLSTATE, and how the
//! SQLSTATE is found.
//!
//! diesel keeps the SQLSTATE to itself and has no kind of its own for most codes. So the server is
//! asked: the statement that failed is explained once more, its parameters left empty, inside a block
//! that catches the error. What fails then fails because of the statement itself: a grant, a column or
//! a table is missing. What passes then failed because of its moment, and may be tried again.

use std::cell::RefCell;
use std::collections::VecDeque;

use diesel::connection::{Instrumentation, InstrumentationEvent, SimpleConnection};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{Nullable, Text};

/// A statement that PostgreSQL refuses whenever it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The statement as it is sent, without the values of its parameters.
    pub(crate) sql: String,
    /// PostgreSQL's code, five characters.
    pub(crate) sqlstate: String,
    /// The server's words.
    pub(crate) message: String,
}

/// Whether an error with this SQLSTATE lasts until a person acts. The classes are those of PostgreSQL's
/// appendix A; what is not named here passes.
pub(crate) fn lasts(sqlstate: &str) -> bool {
    match sqlstate {
        // Somebody else was first: the next attempt sees it.
        "23505" => false,
        // Not the statement, but its empty parameters: their types cannot be told.
        "42725" | "42804" | "42846" | "42P02" | "42P08" | "42P18" => false,
        _ => matches!(
            sqlstate.get(..2),
            // Unsupported, integrity rules, no such database or schema, syntax and access rules.
            Some("0A" | "23" | "3D" | "3F" | "42")
        ),
    }
}

/// Statements that are remembered. A call that is tried again fails at the same few.
const REMEMBERED: usize = 8;

thread_local! {
    /// The latest statements that failed on this thread. A call of the store stays on its thread.
    static FAILED: RefCell<VecDeque<Failed>> = const { RefCell::new(VecDeque::new()) };
}

struct Failed {
    sql: String,
    /// The SQLSTATE where diesel's kind tells it.
    sqlstate: Option<&'static str>,
    message: String,
}

/// Notes statements that fail. A statement that succeeds costs a comparison.
pub(crate) struct NoteFailures;

impl Instrumentation for NoteFailures {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        let InstrumentationEvent::FinishQuery {
            query,
            error: Some(Error::DatabaseError(kind, info)),
            ..
        } = event
        else {
            return;
        };
        let text = query.to_string();
        let sql = text.split(" -- binds: ").next().unwrap_or_default();
        let failed = Failed {
            sql: sql.to_owned(),
            sqlstate: sqlstate_of(kind),
            message: info.message().to_owned(),
        };
        FAILED.with_borrow_mut(|latest| {
            latest.truncate(REMEMBERED - 1);
            latest.push_front(failed);
        });
    }
}

const fn sqlstate_of(kind: &DatabaseErrorKind) -> Option<&'static str> {
    match kind {
        DatabaseErrorKind::NotNullViolation => Some("23502"),
        DatabaseErrorKind::ForeignKeyViolation => Some("23503"),
        DatabaseErrorKind::UniqueViolation => Some("23505"),
        DatabaseErrorKind::CheckViolation => Some("23514"),
        DatabaseErrorKind::RestrictViolation => Some("23001"),
        DatabaseErrorKind::ExclusionViolation => Some("23P01"),
        _ => None,
    }
}

/// Forgets what failed before a call begins.
pub(crate) fn forget() {
    FAILED.with_borrow_mut(VecDeque::clear);
}

/// The lasting fault behind the call that just failed on `conn`; `None` for one that passes.
///
/// What a call fails of at last may only follow from what failed before, so that is asked for too. But a
/// rule of a table that was broken before is one that the call has dealt with.
pub(crate) fn behind(conn: &mut PgConnection) -> Option<Fault> {
    let failed = FAILED.with_borrow_mut(std::mem::take);
    let mut is_latest = true;
    for failed in failed {
        let fault = match failed.sqlstate {
            Some(sqlstate) => (is_latest && lasts(sqlstate)).then(|| Fault {
                sql: failed.sql,
                sqlstate: sqlstate.to_owned(),
                message: failed.message,
            }),
            None => ask(conn, &failed.sql).ok().flatten(),
        };
        if fault.is_some() {
            return fault;
        }
        is_latest = false;
    }
    None
}

#[derive(QueryableByName)]
struct Asked {
    #[diesel(sql_type = Nullable<Text>)]
    found: Option<String>,
}

/// Why the server refuses `sql` whatever its parameters are; `None` when it does not.
///
/// # Errors
/// The server could not be asked.
pub(crate) fn ask(conn: &mut PgConnection, sql: &str) -> QueryResult<Option<Fault>> {
    const BLOCK: &str = "DO $block$ BEGIN \
         EXECUTE current_setting('adtally.statement'); \
         PERFORM set_config('adtally.statement', '', true); \
         EXCEPTION WHEN OTHERS THEN \
         PERFORM set_config('adtally.statement', SQLSTATE || ' ' || SQLERRM, true); \
         END $block$";
    let Some(statement) = harmless(sql) else {
        return Ok(None);
    };
    let found = conn.transaction(|conn| {
        conn.batch_execute("SET LOCAL statement_timeout = '2s'")?;
        conn.batch_execute("SET LOCAL lock_timeout = '500ms'")?;
        diesel::sql_query("SELECT set_config('adtally.statement', $1, true)")
            .bind::<Text, _>(statement)
            .execute(conn)?;
        conn.batch_execute(BLOCK)?;
        let asked: Asked =
            diesel::sql_query("SELECT current_setting('adtally.statement', true) AS found")
                .get_result(conn)?;
        QueryResult::Ok(asked.found)
    })?;
    let fault = found.as_deref().and_then(|found| found.split_once(' '));
    Ok(fault
        .filter(|(sqlstate, _)| lasts(sqlstate))
        .map(|(sqlstate, message)| Fault {
            sql: sql.to_owned(),
            sqlstate: sqlstate.to_owned(),
            message: message.to_owned(),
        }))
}

/// A statement that meets the same checks of names and rights as `sql` and has no effect; `None` for
/// one that has no such form.
fn harmless(sql: &str) -> Option<String> {
    let verb = sql.split_whitespace().next()?.to_ascii_uppercase();
    match verb.as_str() {
        "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "WITH" => {
            Some(format!("EXPLAIN {}", without_parameters(sql)))
        }
        "COPY" => {
            let target = sql.get(4..)?.split(" FROM STDIN").next()?;
            let columns = target.matches(',').count() + 1;
            let nulls = vec!["NULL"; columns].join(", ");
            Some(format!("EXPLAIN INSERT INTO{target} SELECT {nulls}"))
        }
        "LOCK" => Some(format!("{sql} NOWAIT")),
        _ => None,
    }
}

/// `sql` with NULL in the place of `$1` and the like.
fn without_parameters(sql: &str) -> String {
    let mut parts = sql.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        text.push_str(if rest.len() < part.len() { "NULL" } else { "$" });
        text.push_str(rest);
    }
    text
}

/// What a statement is called in a line of the log: what it does, and to which table or function.
pub(crate) fn name_of(sql: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: Vec<&str> = sql
        .split(|c: char| !is_part(c))
        .filter(|word| !word.is_empty())
        .collect();
    let verb = words.first().copied().unwrap_or_default();
    let position = words.iter().position(|word| {
        matches!(
            word.to_ascii_uppercase().as_str(),
            "FROM" | "INTO" | "UPDATE" | "TABLE" | "COPY"
        )
    });
    let object = words
        .iter()
        .skip(position.map_or(1, |position| position + 1))
        .find(|word| !word.eq_ignore_ascii_case("only"));
    match object {
        Some(object) => format!("{} {object}", verb.to_ascii_uppercase()),
        None => verb.to_ascii_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_person_must_mend_lasts() {
        for sqlstate in [
            "42501", "42P01", "42703", "42883", "3F000", "23514", "0A000",
        ] {
            assert!(lasts(sqlstate), "{sqlstate}");
        }
        for sqlstate in [
            "40001", "40P01", "53100", "53200", "55P03", "57014", "57P03", "58030", "08006",
            "25006", "23505", "XX000", "42P18", "42725", "",
        ] {
            assert!(!lasts(sqlstate), "{sqlstate}");
        }
    }

    #[test]
    fn a_statement_is_named_by_what_it_does_and_to_what() {
        for (sql, name) in [
            (
                r#"SELECT "ads"."id" FROM "ads" WHERE "ads"."id" = $1"#,
                "SELECT ads",
            ),
            (
                "INSERT INTO ad_hourly_stats AS stats (hour) SELECT $1",
                "INSERT ad_hourly_stats",
            ),
            (r#"UPDATE "ads" SET "title" = $1"#, "UPDATE ads"),
            (
                r#"COPY "events" ("event_id", "ad_id") FROM STDIN WITH (FORMAT binary)"#,
                "COPY events",
            ),
            ("LOCK TABLE ONLY events IN ACCESS SHARE MODE", "LOCK events"),
            (
                r#"SELECT adtally_ensure_partition($1)"#,
                "SELECT adtally_ensure_partition",
            ),
            (
                "WITH marks AS (INSERT INTO dirty_hours (hour) SELECT 1) SELECT 1",
                "WITH dirty_hours",
            ),
            ("COMMIT", "COMMIT"),
        ] {
            assert_eq!(name_of(sql), name, "{sql}");
        }
    }

    #[test]
    fn what_is_asked_has_no_effect_and_no_parameters() {
        for (sql, asked) in [
            (
                "SELECT a FROM t WHERE b = $1 LIMIT $12",
                Some("EXPLAIN SELECT a FROM t WHERE b = NULL LIMIT NULL"),
            ),
            (
                "COPY \"t\" (\"a\", \"b\") FROM STDIN WITH (FORMAT binary)",
                Some("EXPLAIN INSERT INTO \"t\" (\"a\", \"b\") SELECT NULL, NULL"),
            ),
            (
                "LOCK TABLE t IN ACCESS SHARE MODE",
                Some("LOCK TABLE t IN ACCESS SHARE MODE NOWAIT"),
            ),
            ("DROP TABLE t", None),
            ("", None),
        ] {
            assert_eq!(harmless(sql).as_deref(), asked, "{sql}");
        }
    }
}
