//! Where in a message a value stands, as far as that decides how it is treated.

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The outermost object.
    Root,
    /// `result`, `params` or `error`.
    Body,
    /// A task: an object with a `taskId`.
    Task,
    /// `_meta` of a body.
    Meta,
    /// Made up by one side and handed back by the other: a string or number here stays byte for byte.
    Handle,
    /// The protocol's own structure, where a string must stay a string.
    Structure,
    /// A JSON Schema of the protocol: it says what values are.
    Schema,
    /// A tool's own data, where a dropped string may become `null`.
    Data,
}

impl Place {
    /// The place of the member `key` of an object here.
    pub(crate) fn member(self, key: &str) -> Self {
        match (self, key) {
            (Self::Data, _) => Self::Data,
            (Self::Root, "id") => Self::Handle,
            (Self::Root, "result" | "params" | "error") => Self::Body,
            (
                Self::Body,
                "requestState" | "nextCursor" | "cursor" | "taskId" | "progressToken" | "requestId"
                | "elicitationId",
            )
            | (Self::Task, "taskId")
            | (Self::Meta, "progressToken" | "io.modelcontextprotocol/subscriptionId") => Self::Handle,
            (Self::Body, "task" | "tasks") | (Self::Meta, "io.modelcontextprotocol/related-task") => {
                Self::Task
            }
            (Self::Body, "_meta") => Self::Meta,
            (Self::Schema, _)
            | (Self::Structure | Self::Body, "inputSchema" | "outputSchema" | "requestedSchema") => {
                Self::Schema
            }
            (Self::Meta, _) | (_, "structuredContent" | "_meta" | "arguments") => Self::Data,
            _ => Self::Structure,
        }
    }

    /// The place of an element of an array here.
    pub(crate) const fn element(self) -> Self {
        match self {
            // No handle is an array: what is in one is looked at.
            Self::Handle | Self::Root | Self::Body => Self::Structure,
            other => other,
        }
    }

    /// The place of an object's members, when the object stands here.
    pub(crate) const fn object(self) -> Self {
        match self {
            Self::Handle => Self::Structure,
            other => other,
        }
    }
}
