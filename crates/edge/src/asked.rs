//! What one HTTP request asks of a server: a parsed message, or one of the legacy era's two body-less requests.

use crate::Published;
use crate::body;
use crate::refusal::Refusal;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method as HttpMethod, Request, StatusCode};
use portunus_core::limits;
use portunus_core::trace::TraceContext;
use portunus_mcp::header::{self, MCP_METHOD, MCP_NAME, MCP_PROTOCOL_VERSION, meta};
use portunus_mcp::json::{self, Bounds, Kind, Raw};
use portunus_mcp::message::{self, Era, Message, Method, Reject, TargetKind, Version};
use portunus_policy::Operation;
use serde_json::json;

/// One request to a server, understood.
pub struct Asked {
    /// POST, GET or DELETE.
    pub http: HttpMethod,
    /// The client's header.
    pub headers: HeaderMap,
    /// The exact bytes that will be forwarded (law 2).
    pub body: Bytes,
    /// What they say.
    pub what: What,
    /// What is known of how its client waits for an approval.
    pub waiting: Waiting,
}

/// How a client waits for an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// It can send its user to a page (elicitation with mode `url`).
    pub by_url: bool,
    /// It comes back to a call that waits.
    pub resumed: bool,
    /// Its user did not want to go to the page.
    pub declined: bool,
}

/// What a request says.
pub enum What {
    /// A JSON-RPC message.
    Message(Box<Message>),
    /// GET: open the legacy era's stream from server to client.
    Stream,
    /// DELETE: end a legacy session.
    End,
}

/// Reads and parses a request to this server.
///
/// # Errors
/// For a body out of bounds, and for anything that is not one unambiguous message.
pub async fn read<B>(request: &mut Request<B>, published: &Published) -> Result<Asked, Refusal>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let http = request.method().clone();
    let what = match http {
        HttpMethod::POST => None,
        HttpMethod::GET => Some(What::Stream),
        HttpMethod::DELETE => Some(What::End),
        _ => return Err(Refusal::MethodNotAllowed),
    };
    if let Some(what) = what {
        message::read_session_request(&http, request.headers())
            .map_err(|reject| Refusal::Message(Box::new(reject)))?;
        let mut headers = std::mem::take(request.headers_mut());
        // There is no message that these could mirror.
        headers.remove("mcp-method");
        headers.remove("mcp-name");
        return Ok(Asked { http, headers, body: Bytes::new(), what, waiting: Waiting::default() });
    }
    let longest = published.server.limits.request_bytes;
    let body = body::read(request.body_mut(), longest).await?;
    let headers = std::mem::take(request.headers_mut());
    let message = message::read(&headers, &body, &Bounds::of_bytes(longest))
        .map_err(|reject| Refusal::Message(Box::new(reject)))?;
    if let Some(reject) = unknown_method(&message).or_else(|| undecidable(&message)) {
        return Err(Refusal::Message(Box::new(reject)));
    }
    let waiting = Waiting { by_url: declares_urls(&message), ..Waiting::default() };
    Ok(Asked { http, headers, body, what: What::Message(Box::new(message)), waiting })
}

/// A modern client says in every call what it can do.
fn declares_urls(message: &Message) -> bool {
    let Message::Call(call) = message else { return false };
    let declared = call.client_capabilities.as_deref().and_then(json::skim);
    declared.is_some_and(can_open_urls)
}

/// Whether these are the capabilities of a client that can send its user to a page.
#[must_use]
pub fn can_open_urls(capabilities: Raw<'_>) -> bool {
    let url = capabilities.get("elicitation").and_then(|elicitation| elicitation.get("url"));
    url.is_some_and(|url| url.kind() == Kind::Object)
}

/// Methods that Portunus does not know are refused: nobody has decided what they may do.
fn unknown_method(message: &Message) -> Option<Reject> {
    let (method, era, id) = match message {
        Message::Call(call) => (&call.method, call.era(), Some(call.id.clone())),
        Message::Notification(notification) => (&notification.method, notification.version.era(), None),
        Message::Answer(_) => return None,
    };
    let Method::Other(name) = method else { return None };
    // A legacy client takes 404 for the end of its session.
    let status = match (era, &id) {
        (Era::Legacy, Some(_)) => StatusCode::OK,
        (Era::Legacy, None) => StatusCode::BAD_REQUEST,
        (Era::Modern, _) => StatusCode::NOT_FOUND,
    };
    let reject =
        Reject::new(status, -32601, format!("the method `{}` is not known here", name.escape_debug()));
    Some(match id {
        Some(id) => reject.with_id(id),
        None => reject,
    })
}

/// What cannot be decided: the tasks of all callers at once, and endless subscriptions.
fn undecidable(message: &Message) -> Option<Reject> {
    let Message::Call(call) = message else { return None };
    let reject = match call.method {
        // Behind the edge all callers share one credential: a server would list everybody's.
        Method::TasksList => Reject::method_not_found(&call.method, call.version),
        _ if call.subscriptions.len() > limits::SUBSCRIPTIONS => {
            Reject::invalid_request("too many subscriptions in one request")
        }
        _ => return None,
    };
    Some(reject.with_id(call.id.clone()))
}

impl Asked {
    /// A list of the edge's own, such as `tools/list`, asked in the place of a call; a refusal of it answers that call.
    ///
    /// # Errors
    /// When it is not a message after all.
    pub fn list(call: &Self, method: &'static str, cursor: Option<&str>) -> Result<Self, Refusal> {
        let params = cursor.map_or_else(String::new, |cursor| format!(r#","cursor":{}"#, json!(cursor)));
        Self::own(&call.id(), method, None, &params)
    }
    /// A `tools/call` of the edge's own, of another tool with the very arguments of this call.
    ///
    /// # Errors
    /// When it is not a message after all.
    pub fn trial(call: &Self, tool: &str) -> Result<Self, Refusal> {
        let arguments = call.arguments().map(|raw| String::from_utf8_lossy(raw)).unwrap_or("{}".into());
        let params = format!(r#","name":{},"arguments":{arguments}"#, json!(tool));
        Self::own(&call.id(), "tools/call", Some(tool), &params)
    }
    /// A modern call of the edge's own; `more` are its parameters besides `_meta`, each behind a comma.
    fn own(id: &Bytes, method: &'static str, tool: Option<&str>, more: &str) -> Result<Self, Refusal> {
        let version = Version::V20260728.as_str();
        let meta = json!({ meta::PROTOCOL_VERSION: version, meta::CLIENT_CAPABILITIES: {} });
        let id = String::from_utf8_lossy(id);
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"_meta":{meta}{more}}}}}"#);
        let accept = "application/json, text/event-stream";
        let mut headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (ACCEPT, HeaderValue::from_static(accept)),
            (MCP_PROTOCOL_VERSION, HeaderValue::from_static(version)),
            (MCP_METHOD, HeaderValue::from_static(method)),
        ]);
        headers.extend(tool.and_then(|tool| {
            HeaderValue::try_from(&*header::encode(tool)).ok().map(|name| (MCP_NAME, name))
        }));
        let body = Bytes::from(body);
        let bounds = Bounds::of_bytes(body.len().max(limits::EVENT_BYTES));
        let message =
            message::read(&headers, &body, &bounds).map_err(|reject| Refusal::Message(Box::new(reject)))?;
        let (what, waiting) = (What::Message(Box::new(message)), Waiting::default());
        Ok(Self { http: HttpMethod::POST, headers, body, what, waiting })
    }
    /// The same request with its handles opened. It is read anew, so that what is decided is what goes upstream.
    ///
    /// # Errors
    /// When it is not a message any more.
    pub fn replace(&mut self, body: Bytes) -> Result<(), Refusal> {
        if self.call().is_some_and(|call| call.target_kind == Some(TargetKind::Task)) {
            let task = json::skim(&body).and_then(|root| root.get("params")?.get("taskId")?.string());
            let name = task.and_then(|task| HeaderValue::try_from(&*header::encode(&task)).ok());
            if let (Some(said), Some(name)) = (self.headers.get_mut(MCP_NAME), name) {
                *said = name;
            }
        }
        let message = message::read(&self.headers, &body, &Bounds::of_bytes(body.len()))
            .map_err(|reject| Refusal::Message(Box::new(reject)))?;
        self.what = What::Message(Box::new(message));
        self.body = body;
        Ok(())
    }

    /// The method's name, as recorded.
    #[must_use]
    pub fn method(&self) -> &str {
        match &self.what {
            What::Stream => "GET",
            What::End => "DELETE",
            What::Message(message) => match &**message {
                Message::Call(call) => call.method.as_str(),
                Message::Notification(notification) => notification.method.as_str(),
                Message::Answer(_) => "answer",
            },
        }
    }
    /// The tool, prompt, resource or task it names.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        match &self.what {
            What::Message(message) => match &**message {
                Message::Call(call) => call.target.as_deref(),
                _ => None,
            },
            _ => None,
        }
    }
    /// The tool it calls.
    #[must_use]
    pub fn tool(&self) -> Option<&str> {
        self.call().filter(|call| call.method == Method::ToolsCall).and_then(|call| call.target.as_deref())
    }
    /// The call, if it is one.
    #[must_use]
    pub fn call(&self) -> Option<&message::Call> {
        match &self.what {
            What::Message(message) => match &**message {
                Message::Call(call) => Some(call),
                _ => None,
            },
            _ => None,
        }
    }
    /// The raw JSON object of the arguments.
    #[must_use]
    pub fn arguments(&self) -> Option<&Bytes> {
        self.call().and_then(|call| call.arguments.as_ref())
    }
    /// What else steers the tool that it calls.
    #[must_use]
    pub fn besides(&self) -> Option<&str> {
        self.call().and_then(|call| call.besides.as_deref())
    }
    /// The call's id, or JSON `null` where there is none.
    #[must_use]
    pub fn id(&self) -> Bytes {
        self.call().map_or_else(|| Bytes::from_static(b"null"), |call| call.id.clone())
    }
    /// The protocol era.
    #[must_use]
    pub fn era(&self) -> Era {
        match &self.what {
            What::Message(message) => message.version().era(),
            What::Stream | What::End => Era::Legacy,
        }
    }
    /// Whether it may change something at the upstream, as far as the protocol and confirmed tools tell.
    #[must_use]
    pub fn may_change(&self, published: &Published) -> bool {
        match (self.tool(), &self.what) {
            (Some(tool), _) => !published.read_only.contains(tool),
            (None, What::Stream) => false,
            (None, What::End) => true,
            (None, What::Message(message)) => match &**message {
                Message::Call(call) => call.method.may_change(),
                Message::Notification(_) => false,
                Message::Answer(_) => true,
            },
        }
    }
    /// Whether its answer is a stream that may be silent for as long as nothing happens.
    #[must_use]
    pub fn may_rest(&self) -> bool {
        matches!(self.what, What::Stream) || self.call().is_some_and(|call| call.method == Method::Listen)
    }
    /// What policy is asked.
    #[must_use]
    pub fn operation(&self) -> Operation<'_> {
        let What::Message(message) = &self.what else { return Operation::Session(self.method()) };
        let call = match &**message {
            Message::Call(call) => call,
            Message::Notification(_) => return Operation::Session(self.method()),
            Message::Answer(_) => return Operation::Answer,
        };
        let target = call.target.as_deref().unwrap_or_default();
        match &call.method {
            Method::ToolsCall => Operation::CallTool(target),
            Method::ResourcesRead => Operation::ReadResource(target),
            Method::PromptsGet => Operation::GetPrompt(target),
            Method::Complete => Operation::Complete(target),
            Method::ResourcesSubscribe | Method::ResourcesUnsubscribe => Operation::Subscribe(target),
            Method::TasksGet
            | Method::TasksResult
            | Method::TasksCancel
            | Method::TasksUpdate
            | Method::TasksList => Operation::Task(target),
            Method::ToolsList
            | Method::ResourcesList
            | Method::ResourceTemplatesList
            | Method::PromptsList => Operation::List(call.method.as_str()),
            method => Operation::Session(method.as_str()),
        }
    }
    /// The resources that a `subscriptions/listen` wants to hear of; each is decided by itself.
    #[must_use]
    pub fn subscriptions(&self) -> &[String] {
        self.call().map_or(&[], |call| &call.subscriptions)
    }
    /// Everything that must be pinned for it: what it is about, and the resources that it wants to hear of.
    pub fn uses(&self) -> impl Iterator<Item = Operation<'_>> {
        let subscriptions = self.subscriptions().iter().map(|uri| Operation::Subscribe(uri));
        std::iter::once(self.operation()).chain(subscriptions)
    }
    /// The trace it belongs to: from the header, else from `_meta` (SEP-414).
    #[must_use]
    pub fn trace(&self) -> Option<TraceContext> {
        let header = self.headers.get("traceparent").and_then(|value| value.to_str().ok());
        let meta = || self.call().and_then(|call| call.traceparent.as_deref());
        header.or_else(meta).and_then(TraceContext::parse)
    }
}

/// The era's word in policies.
#[must_use]
pub const fn era_word(era: Era) -> &'static str {
    match era {
        Era::Legacy => "legacy",
        Era::Modern => "modern",
    }
}
