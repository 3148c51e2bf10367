//! What all parts of the administrator's socket have in common.

use axum::Json;
use axum::http::StatusCode;
use serde_json::{Value, json};

/// Who acts through the socket.
pub(crate) const ADMIN: &str = "admin";

/// A request that is not done, and a sentence that says why.
pub(crate) type Refused = (StatusCode, Json<Value>);
pub(crate) type Answer = Result<Json<Value>, Refused>;

pub(crate) fn refused(words: impl ToString) -> Refused {
    (StatusCode::BAD_REQUEST, Json(json!({ "message": words.to_string() })))
}
