//! From text to exactly one compiled statement of the allowed shape, with its parameters bound.

use crate::authorizer::{Access, Witness};
use crate::failure::Failure;
use crate::limits;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::Value;
use rusqlite::{Batch, Connection, Statement};

/// Compiles the one statement that `sql` holds. What follows it may be blank or a comment, as SQLite sees it.
pub(crate) fn only<'c>(connection: &'c Connection, sql: &str) -> Result<Statement<'c>, Failure> {
    if sql.len() > portunus_core::limits::SQL_BYTES {
        return Err(Failure::TooLong(sql.len()));
    }
    if sql.contains('\0') {
        return Err(Failure::Nul);
    }
    let mut batch = Batch::new(connection, sql);
    let statement = batch.next().map_err(Failure::Sqlite)?.ok_or(Failure::Empty)?;
    match batch.next() {
        Ok(None) => Ok(statement),
        Ok(Some(_)) | Err(_) => Err(Failure::SeveralStatements),
    }
}

/// Compiles one statement and checks that it is what `access` is for: what the authorizer saw and what SQLite says
/// of the compiled statement must both agree. (`VACUUM INTO` asks the authorizer nothing; ATTACH counts as read-only.)
pub(crate) fn shaped<'c>(
    connection: &'c Connection,
    sql: &str,
    access: Access,
    witness: &Witness,
) -> Result<Statement<'c>, Failure> {
    witness.forget_shape();
    let statement = only(connection, sql)?;
    witness.compiled();
    if statement.is_explain() != 0 {
        return Err(Failure::Explain);
    }
    let seen = witness.seen();
    match access {
        Access::Read
            if seen.selects && !seen.writes && statement.readonly() && statement.column_count() > 0 =>
        {
            Ok(statement)
        }
        Access::Read => Err(Failure::NotASelect),
        Access::Write if seen.writes && !statement.readonly() => Ok(statement),
        Access::Write => Err(Failure::NotAWrite),
    }
}

/// Binds all parameters by position.
pub(crate) fn bind(statement: &mut Statement<'_>, parameters: &[Value]) -> Result<(), Failure> {
    let (given, expected) = (parameters.len(), statement.parameter_count());
    if given != expected {
        return Err(Failure::Parameters { given, expected });
    }
    for (position, value) in (1_usize..).zip(parameters) {
        statement.raw_bind_parameter(position, value).map_err(Failure::Sqlite)?;
    }
    Ok(())
}

/// Parameters as they come in JSON.
pub(crate) fn parameters(values: &[serde_json::Value]) -> Result<Vec<Value>, Failure> {
    use serde_json::Value as Json;
    if values.len() > limits::PARAMETERS {
        return Err(Failure::TooManyParameters(values.len()));
    }
    let convert = |(position, value): (usize, &Json)| match value {
        Json::Null => Ok(Value::Null),
        Json::Bool(truth) => Ok(Value::Integer(i64::from(*truth))),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Ok(Value::Integer(integer)),
            None => number.as_f64().map(Value::Real).ok_or(Failure::ParameterType(position)),
        },
        Json::String(text) => Ok(Value::Text(text.clone())),
        Json::Array(_) | Json::Object(_) => Err(Failure::ParameterType(position)),
    };
    values.iter().enumerate().map(convert).collect()
}
