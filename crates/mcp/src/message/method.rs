//! The methods of both eras.

use super::version::Era;
use std::fmt;

/// A JSON-RPC method.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Method {
    /// `initialize`
    Initialize,
    /// `ping`
    Ping,
    /// `server/discover`
    Discover,
    /// `tools/list`
    ToolsList,
    /// `tools/call`
    ToolsCall,
    /// `resources/list`
    ResourcesList,
    /// `resources/templates/list`
    ResourceTemplatesList,
    /// `resources/read`
    ResourcesRead,
    /// `resources/subscribe`
    ResourcesSubscribe,
    /// `resources/unsubscribe`
    ResourcesUnsubscribe,
    /// `prompts/list`
    PromptsList,
    /// `prompts/get`
    PromptsGet,
    /// `completion/complete`
    Complete,
    /// `logging/setLevel`
    SetLevel,
    /// `subscriptions/listen`
    Listen,
    /// `tasks/get`
    TasksGet,
    /// `tasks/result`
    TasksResult,
    /// `tasks/list`
    TasksList,
    /// `tasks/cancel`
    TasksCancel,
    /// `tasks/update`
    TasksUpdate,
    /// `notifications/initialized`
    Initialized,
    /// `notifications/cancelled`
    Cancelled,
    /// `notifications/progress`
    Progress,
    /// `notifications/roots/list_changed`
    RootsListChanged,
    /// `notifications/tasks/status`
    TaskStatus,
    /// One that Portunus does not know. Refused unless policy names it.
    Other(String),
}

/// What the target of a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetKind {
    /// A tool, by name.
    Tool,
    /// A prompt, by name.
    Prompt,
    /// A resource, by URI.
    Resource,
    /// A resource template, by URI template.
    ResourceTemplate,
    /// A task, by id.
    Task,
}

/// A list that is filtered per caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    /// Of `tools/list`.
    Tools,
    /// Of `resources/list`.
    Resources,
    /// Of `resources/templates/list`.
    ResourceTemplates,
    /// Of `prompts/list`.
    Prompts,
}

impl List {
    /// The member of the result that holds the entries.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources => "resources",
            Self::ResourceTemplates => "resourceTemplates",
            Self::Prompts => "prompts",
        }
    }
    /// The member of an entry that names it.
    #[must_use]
    pub const fn entry_key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::ResourceTemplates => "uriTemplate",
        }
    }
    /// What its entries are.
    #[must_use]
    pub const fn kind(self) -> TargetKind {
        match self {
            Self::Tools => TargetKind::Tool,
            Self::Resources => TargetKind::Resource,
            Self::ResourceTemplates => TargetKind::ResourceTemplate,
            Self::Prompts => TargetKind::Prompt,
        }
    }
}

/// Known methods with their names, and whether the legacy and the modern era have them.
static KNOWN: [(Method, &str, bool, bool); 25] = [
    (Method::ToolsCall, "tools/call", true, true),
    (Method::ToolsList, "tools/list", true, true),
    (Method::ResourcesRead, "resources/read", true, true),
    (Method::ResourcesList, "resources/list", true, true),
    (Method::ResourceTemplatesList, "resources/templates/list", true, true),
    (Method::PromptsGet, "prompts/get", true, true),
    (Method::PromptsList, "prompts/list", true, true),
    (Method::Complete, "completion/complete", true, true),
    (Method::Initialize, "initialize", true, false),
    (Method::Ping, "ping", true, false),
    (Method::SetLevel, "logging/setLevel", true, false),
    (Method::ResourcesSubscribe, "resources/subscribe", true, false),
    (Method::ResourcesUnsubscribe, "resources/unsubscribe", true, false),
    (Method::TasksGet, "tasks/get", true, true),
    (Method::TasksResult, "tasks/result", true, false),
    (Method::TasksList, "tasks/list", true, false),
    (Method::TasksCancel, "tasks/cancel", true, true),
    (Method::TasksUpdate, "tasks/update", false, true),
    (Method::Discover, "server/discover", false, true),
    (Method::Listen, "subscriptions/listen", false, true),
    (Method::Initialized, "notifications/initialized", true, false),
    (Method::Cancelled, "notifications/cancelled", true, true),
    (Method::Progress, "notifications/progress", true, false),
    (Method::RootsListChanged, "notifications/roots/list_changed", true, false),
    (Method::TaskStatus, "notifications/tasks/status", true, false),
];

impl Method {
    /// From the wire; exact, so another case makes another method.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        let known = KNOWN.iter().find(|(_, known, ..)| *known == name);
        known.map_or_else(|| Self::Other(name.to_owned()), |(method, ..)| method.clone())
    }
    /// As on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(name) => name,
            known => Self::row(known).map_or("", |(_, name, ..)| name),
        }
    }
    /// Whether an era has it. One that Portunus does not know may be in both.
    #[must_use]
    pub fn is_in(&self, era: Era) -> bool {
        Self::row(self).is_none_or(|(_, _, legacy, modern)| match era {
            Era::Legacy => *legacy,
            Era::Modern => *modern,
        })
    }
    /// Whether it can only be a modern one.
    #[must_use]
    pub fn is_modern_only(&self) -> bool {
        !self.is_in(Era::Legacy)
    }
    /// Whether it is a notification by its name.
    #[must_use]
    pub fn is_notification(&self) -> bool {
        self.as_str().starts_with("notifications/")
    }
    /// Whether it may change anything upstream, so that its record must be durable before it is sent. A tool may, as long
    /// as nobody knows better.
    #[must_use]
    pub const fn may_change(&self) -> bool {
        match self {
            Self::ToolsCall
            | Self::ResourcesSubscribe
            | Self::ResourcesUnsubscribe
            | Self::SetLevel
            | Self::TasksCancel
            | Self::TasksUpdate
            | Self::Cancelled
            | Self::Other(_) => true,
            Self::Initialize
            | Self::Ping
            | Self::Discover
            | Self::ToolsList
            | Self::ResourcesList
            | Self::ResourceTemplatesList
            | Self::ResourcesRead
            | Self::PromptsList
            | Self::PromptsGet
            | Self::Complete
            | Self::Listen
            | Self::TasksGet
            | Self::TasksResult
            | Self::TasksList
            | Self::Initialized
            | Self::Progress
            | Self::RootsListChanged
            | Self::TaskStatus => false,
        }
    }
    /// Whether a modern server says how long its answer may be kept (2026-07-28, Caching).
    #[must_use]
    pub const fn is_cacheable(&self) -> bool {
        self.list().is_some() || matches!(self, Self::ResourcesRead | Self::Discover)
    }
    /// The list that its answer holds.
    #[must_use]
    pub const fn list(&self) -> Option<List> {
        match self {
            Self::ToolsList => Some(List::Tools),
            Self::ResourcesList => Some(List::Resources),
            Self::ResourceTemplatesList => Some(List::ResourceTemplates),
            Self::PromptsList => Some(List::Prompts),
            _ => None,
        }
    }

    /// The member of `params` that names its target, and what that is. `completion/complete` has its own way.
    pub(super) const fn target(&self) -> Option<(&'static str, TargetKind)> {
        match self {
            Self::ToolsCall => Some(("name", TargetKind::Tool)),
            Self::PromptsGet => Some(("name", TargetKind::Prompt)),
            Self::ResourcesRead | Self::ResourcesSubscribe | Self::ResourcesUnsubscribe => {
                Some(("uri", TargetKind::Resource))
            }
            Self::TasksGet | Self::TasksResult | Self::TasksCancel | Self::TasksUpdate => {
                Some(("taskId", TargetKind::Task))
            }
            _ => None,
        }
    }

    /// Whether the modern era demands `Mcp-Name` (the transport's own methods, and those of the tasks extension).
    pub(crate) const fn needs_name_header(&self) -> bool {
        matches!(
            self,
            Self::ToolsCall
                | Self::ResourcesRead
                | Self::PromptsGet
                | Self::TasksGet
                | Self::TasksUpdate
                | Self::TasksCancel
        )
    }

    fn row(&self) -> Option<&'static (Self, &'static str, bool, bool)> {
        KNOWN.iter().find(|(method, ..)| method == self)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
