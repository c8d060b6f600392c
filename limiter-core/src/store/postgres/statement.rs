//! A statement with arguments: prepared, or as text with literals.
//!
//! Input: SQL with `$1` and so on, and [`Argument`]s. Output: rows. A prepared
//! statement is parsed and planned once a connection. Behind a pooler in transaction
//! mode the next transaction may run on another connection of the server, which does
//! not know the statement, or worse, knows another one by its name: there each
//! statement is sent as text, at about 65 us of planning.

use std::{fmt::Write as _, sync::Arc};

use futures_core::Stream;
use futures_util::StreamExt;
use sqlx::{
    Arguments as _, AssertSqlSafe, PgConnection,
    error::BoxDynError,
    postgres::{PgArguments, PgRow},
    raw_sql,
};

use super::general_path::is_conflict;
use crate::store::sql::without_comments;

/// One argument of a statement. Texts have no quote, backslash or brace.
pub(super) enum Argument<'a> {
    Number(Option<i64>),
    Numbers(Vec<Option<i64>>),
    Text(Option<&'a str>),
    Texts(Vec<Option<&'a str>>),
}

/// The SQL of a statement.
pub(super) struct Statement(Arc<str>);

impl Statement {
    pub(super) fn new(sql: &str, prefix: &str) -> Self {
        Self(without_comments(sql).replace("{prefix}", prefix).into())
    }

    /// Runs the statement as a prepared one.
    pub(super) async fn run(
        &self,
        connection: &mut PgConnection,
        arguments: &[Argument<'_>],
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let bound = bind(arguments).map_err(sqlx::Error::Encode)?;
        let sql = AssertSqlSafe(Arc::clone(&self.0));
        collect(sqlx::query_with(sql, bound).fetch(connection)).await
    }

    /// Returns the SQL with literals.
    pub(super) fn with_literals(&self, arguments: &[Argument<'_>]) -> String {
        let mut sql = self.0.to_string();
        // `$12` before `$1`.
        for (index, argument) in arguments.iter().enumerate().rev() {
            sql = sql.replace(&format!("${}", index + 1), &argument.literal());
        }
        sql
    }
}

/// Runs SQL without arguments, of one or several statements. Returns the rows that
/// have columns.
pub(super) async fn run_text(
    connection: &mut PgConnection,
    sql: String,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut rows = collect(raw_sql(AssertSqlSafe(sql)).fetch(connection)).await?;
    rows.retain(|row| !sqlx::Row::is_empty(row));
    Ok(rows)
}

/// Reads all rows of a statement.
///
/// An error without rows proves that the statement has changed nothing: one that does
/// returns rows, they are sent before it commits, and a server that ends the connection
/// (57P01) sends what it has first. An error behind rows proves nothing, but for a conflict,
/// such as a deadlock over a later row: it has rolled the statement back.
async fn collect(
    mut rows: impl Stream<Item = Result<PgRow, sqlx::Error>> + Unpin,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut collected = Vec::new();
    while let Some(row) = rows.next().await {
        match row {
            Ok(row) => collected.push(row),
            Err(error) if collected.is_empty() || is_conflict(&error) => return Err(error),
            Err(error) => {
                return Err(sqlx::Error::Protocol(format!("it ended behind its rows: {error}")));
            }
        }
    }
    Ok(collected)
}

fn bind(arguments: &[Argument<'_>]) -> Result<PgArguments, BoxDynError> {
    let mut bound = PgArguments::default();
    for argument in arguments {
        match argument {
            Argument::Number(number) => bound.add(number)?,
            Argument::Numbers(numbers) => bound.add(numbers)?,
            Argument::Text(text) => bound.add(text)?,
            Argument::Texts(texts) => bound.add(texts)?,
        }
    }
    Ok(bound)
}

impl Argument<'_> {
    fn literal(&self) -> String {
        match self {
            Self::Number(None) | Self::Text(None) => "null".to_owned(),
            Self::Number(Some(number)) => number.to_string(),
            Self::Numbers(numbers) => array(numbers),
            Self::Text(Some(text)) => format!("'{text}'"),
            Self::Texts(texts) => array(texts),
        }
    }
}

fn array<T: std::fmt::Display>(values: &[Option<T>]) -> String {
    let mut literal = String::from("'{");
    for (index, value) in values.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = match value {
            None => write!(literal, "{comma}null"),
            Some(value) => write!(literal, "{comma}\"{value}\""),
        };
    }
    literal + "}'"
}
