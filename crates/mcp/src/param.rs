//! `Mcp-Param-*` headers: tool arguments that a tool's schema wants mirrored (2026-07-28, Streamable HTTP, "Custom Headers
//! from Tool Parameters"). Upstream or something on the way may act on the header, so it must say what the body says.

use crate::header::{self, MCP_PARAM_PREFIX};
use crate::json::{self, Bounds, JsonError, Kind, Raw};
use crate::message::{Reject, shown};
use http::HeaderMap;
use http::header::HeaderName;
use portunus_core::limits;

const ANNOTATION: &str = "x-mcp-header";

/// The arguments of one tool that are mirrored into headers; read once per tool definition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParamHeaders(Vec<Mirror>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mirror {
    header: HeaderName,
    /// Property names from the arguments' root to the mirrored one.
    path: Vec<String>,
    /// The schema's type is `integer`: compared as numbers.
    integer: bool,
}

/// Why a tool's schema is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Not unambiguous JSON.
    #[error("the input schema cannot be read: {0}")]
    Json(#[from] JsonError),
    /// An annotation that the protocol forbids; clients must drop such a tool.
    #[error("x-mcp-header at {place:?} {why}")]
    Annotation {
        /// Path of the property, dotted.
        place: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl ParamHeaders {
    /// Reads the annotations of an input schema.
    ///
    /// # Errors
    /// The first annotation that the protocol forbids.
    pub fn read(input_schema: &[u8]) -> Result<Self, SchemaError> {
        let scan = json::scan(input_schema, &Bounds::default())?;
        let mut found = Self::default();
        found.walk(scan.root(), &mut Vec::new(), true)?;
        Ok(found)
    }

    /// Whether nothing is mirrored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a header mirrors an argument.
    #[must_use]
    pub fn has(&self, header: &HeaderName) -> bool {
        self.0.iter().any(|mirror| mirror.header == header)
    }

    /// Compares the headers of a call with its arguments.
    ///
    /// # Errors
    /// 400 with −32020 for a missing, superfluous, broken or different header.
    pub fn check(&self, headers: &HeaderMap, arguments: Option<&[u8]>) -> Result<(), Reject> {
        if self.is_empty() {
            return Ok(());
        }
        let scan = json::scan(arguments.unwrap_or(b"{}"), &Bounds::default())
            .map_err(|error| Reject::invalid_params(format!("params.arguments: {error}")))?;
        self.0.iter().try_for_each(|mirror| mirror.check(headers, scan.root()))
    }

    /// Collects the annotations of `schema`; `reachable` while only `properties` were passed on the way from the root.
    /// Recursion is bounded by the depth of the scan.
    fn walk(&mut self, schema: Raw<'_>, path: &mut Vec<String>, reachable: bool) -> Result<(), SchemaError> {
        for (key, value) in schema.members() {
            match &*key {
                ANNOTATION => self.add(schema, value, path, reachable)?,
                "properties" => self.walk_named(value, path, reachable)?,
                "$defs" | "definitions" | "dependentSchemas" | "patternProperties" => {
                    self.walk_named(value, path, false)?;
                }
                // Data, not schemas.
                "default" | "const" | "enum" | "examples" => {}
                _ => self.walk(value, path, false)?,
            }
        }
        schema.elements().try_for_each(|element| self.walk(element, path, false))
    }

    fn walk_named(
        &mut self,
        schemas: Raw<'_>,
        path: &mut Vec<String>,
        reachable: bool,
    ) -> Result<(), SchemaError> {
        for (name, schema) in schemas.members() {
            path.push(name.into_owned());
            self.walk(schema, path, reachable)?;
            path.pop();
        }
        Ok(())
    }

    fn add(
        &mut self,
        schema: Raw<'_>,
        name: Raw<'_>,
        path: &[String],
        reachable: bool,
    ) -> Result<(), SchemaError> {
        let wrong = |why| Err(SchemaError::Annotation { place: shown(&path.join(".")), why });
        if !reachable || path.is_empty() {
            return wrong("is not on a property reached through properties alone");
        }
        let integer = match schema.get("type").and_then(Raw::string).as_deref() {
            Some("integer") => true,
            Some("string" | "boolean") => false,
            _ => return wrong("is only for properties of type string, integer or boolean"),
        };
        let Some(name) = name.string().filter(|name| !name.is_empty()) else {
            return wrong("must be a string that is not empty");
        };
        let Ok(header) = format!("{MCP_PARAM_PREFIX}{name}").parse::<HeaderName>() else {
            return wrong("must be a header name");
        };
        if self.0.len() >= limits::HEADER_FIELDS {
            return wrong("is one more than a request has room for");
        }
        if self.0.iter().any(|mirror| mirror.header == header) {
            return wrong("repeats the name of another one");
        }
        self.0.push(Mirror { header, path: path.to_vec(), integer });
        Ok(())
    }
}

impl Mirror {
    fn check(&self, headers: &HeaderMap, arguments: Raw<'_>) -> Result<(), Reject> {
        let name = &self.header;
        let value = self.path.iter().try_fold(arguments, |value, key| value.get(key));
        let value = value.filter(|value| value.kind() != Kind::Null);
        let said = header::single(headers, name)?;
        match (said, value) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(self.mismatch("is missing")),
            (Some(_), None) => Err(self.mismatch("is given, but the argument is not")),
            (Some(said), Some(value)) => match header::decode(said) {
                None => Err(self.mismatch("is not valid Base64 of UTF-8")),
                Some(said) if self.agrees(&said, value) => Ok(()),
                Some(_) => Err(self.mismatch("differs from the argument")),
            },
        }
    }

    fn agrees(&self, said: &str, value: Raw<'_>) -> bool {
        match value.kind() {
            Kind::String => value.string().as_deref() == Some(said),
            Kind::Bool => value.text() == said,
            // "42.0" and 42 are equal (Server Validation, note).
            Kind::Number if self.integer => number(said).is_some_and(|said| Some(said) == value.number()),
            Kind::Number => value.text() == said,
            Kind::Null | Kind::Array | Kind::Object => false,
        }
    }

    fn mismatch(&self, what: &'static str) -> Reject {
        let path = shown(&self.path.join("."));
        Reject::header_mismatch(format!("header {} {what} (argument {path:?})", self.header))
    }
}

/// A number in JSON's own grammar.
fn number(text: &str) -> Option<f64> {
    json::scan(text.as_bytes(), &Bounds::of_bytes(limits::NUMBER_BYTES)).ok()?.root().number()
}
