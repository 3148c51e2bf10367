//! The JSON-RPC envelope: one object, exact names, and exactly one of request, notification and response.

use super::method::Method;
use super::params::{check_names, identifier};
use super::reject::Reject;
use crate::json::{Kind, Part, Raw, Scan};
use portunus_core::limits;

const NAMES: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// What the outermost object says about itself.
pub(super) struct Envelope<'a> {
    /// A valid id, if there is one.
    pub(super) id: Option<Raw<'a>>,
    pub(super) shape: Shape,
}

pub(super) enum Shape {
    Call { method: Method },
    Notification { method: Method },
    Answer { is_error: bool },
}

impl<'a> Envelope<'a> {
    pub(super) fn read(scan: &Scan<'a>) -> Result<Self, Reject> {
        match scan.root().kind() {
            Kind::Object => {}
            // Batches were in 2025-03-26 only; one record and one decision per call is what Portunus is for.
            Kind::Array => {
                return Err(Reject::invalid_request(
                    "batches are not accepted, because every call is decided and recorded by itself: send each message in a POST of its own",
                ));
            }
            _ => return Err(Reject::invalid_request("a JSON-RPC message must be an object")),
        }
        // The id first: a reject should carry it whatever else is wrong.
        let id = scan.get(Part::Root, "id").map(|raw| identifier(raw, "id")).transpose()?;
        let shape = shape(scan, id.is_some()).map_err(|reject| match id {
            Some(id) => reject.with_id(id.text().to_owned().into()),
            None => reject,
        })?;
        Ok(Self { id, shape })
    }
}

fn shape(scan: &Scan<'_>, has_id: bool) -> Result<Shape, Reject> {
    check_names(scan.members(Part::Root).map(|(key, _)| key), &NAMES, "")?;
    if scan.get(Part::Root, "jsonrpc").and_then(Raw::string).as_deref() != Some("2.0") {
        return Err(Reject::invalid_request("jsonrpc must be \"2.0\""));
    }
    let (result, error) = (scan.get(Part::Root, "result"), scan.get(Part::Root, "error"));
    let Some(method) = scan.get(Part::Root, "method") else {
        return match (result.is_some(), error.is_some(), has_id) {
            (true, true, _) => Err(Reject::invalid_request("a response has result or error, not both")),
            (false, false, _) => Err(Reject::invalid_request("the message has no method")),
            (_, _, false) => Err(Reject::invalid_request("a response needs the id of its request")),
            (_, is_error, true) => Ok(Shape::Answer { is_error }),
        };
    };
    if result.is_some() || error.is_some() {
        return Err(Reject::invalid_request("a message with a method has neither result nor error"));
    }
    let method = match method.string() {
        Some(name) if !name.is_empty() && name.len() <= limits::NAME_BYTES => Method::parse(&name),
        _ => {
            let max = limits::NAME_BYTES;
            return Err(Reject::invalid_request(format!("method must be a string of 1 to {max} bytes")));
        }
    };
    match (method.is_notification(), has_id) {
        (false, true) => Ok(Shape::Call { method }),
        (true, false) => Ok(Shape::Notification { method }),
        // Some servers run a request without an id and answer nothing: a call nobody would see the end of.
        (false, false) => {
            Err(Reject::invalid_request("a request needs an id; only notifications/… go without"))
        }
        (true, true) => Err(Reject::invalid_request("a notification has no id")),
    }
}
