//! A file → the servers in it and the secrets in it, wherever they stand: values, words of command lines, headers, URLs,
//! connection strings, defaults of inputs, comments, and texts that are not even valid in their format.

use crate::args;
use crate::binding::{Binding, address, environment, given, header};
use crate::place::{Client, Format};
use crate::recognise::{self, Care, Spot, Why};
use crate::reference;
use crate::tree::{Member, Node, TreeError, Value, parse};
use portunus_core::limits::DISCOVER_FOUND;
use portunus_core::secret::Secret;
use std::ops::Range;

/// What one file says.
#[derive(Debug, Default)]
pub struct Reading {
    /// Its servers.
    pub servers: Vec<Server>,
    /// Its secrets.
    pub found: Vec<Found>,
    /// Why it could not be read as a tree; its secrets were then looked for in the plain text.
    pub problem: Option<TreeError>,
    /// Whether there was more than is kept.
    pub cut: bool,
    /// Directories of projects that it names.
    pub projects: Vec<String>,
}

/// A server that a client is configured with.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its name there.
    pub name: String,
    /// The names that lead to its entry.
    pub path: Vec<String>,
    /// Where it is.
    pub transport: Transport,
}

/// Where a server is; without arguments, paths and parameters, which may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// A program with this file name.
    Program(String),
    /// A URL of this scheme, and this host with port.
    Url {
        /// `https` or another.
        scheme: String,
        /// Host, with port when it is not the scheme's own.
        host: String,
    },
}

/// A secret in plain text.
#[derive(Debug, Clone)]
pub struct Found {
    /// The server that it is for, by its place among the servers.
    pub server: Option<usize>,
    /// Where it is, in words.
    pub at: String,
    /// The names that lead to it; elements of lists by number.
    pub path: Vec<String>,
    /// The bytes of the value that it is in, quotes included.
    pub span: Range<usize>,
    /// The line that this begins on, from 1.
    pub line: usize,
    /// How it was recognised.
    pub why: Why,
    /// The secret alone.
    pub secret: Secret<String>,
    /// How the edge could give it to the server instead.
    pub binding: Option<Binding>,
}

/// Names of tables of servers.
const TABLES: [&str; 5] = ["mcpServers", "mcp_servers", "context_servers", "mcp.servers", "servers"];
/// Names of URLs in an entry.
pub(crate) const URLS: [&str; 5] = ["url", "serverUrl", "httpUrl", "uri", "endpoint"];

/// Where in an entry a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Area {
    Env,
    Args,
    Headers,
    Url,
    /// Names of variables, in which nothing is a secret by its name.
    Names,
    Inputs,
    Other,
}

/// Reads one file's text.
#[must_use]
pub fn read(client: Client, format: Format, text: &str) -> Reading {
    let mut walk = Walk::new(text);
    let area = if format == Format::Dotenv { Area::Env } else { Area::Other };
    match parse(format, text) {
        Ok(root) => {
            walk.node("", &root, Here { server: None, area });
            let all = |root: &Node| {
                !root.members().is_empty() && root.members().iter().all(|m| transport(&m.value).is_some())
            };
            if walk.reading.servers.is_empty() && format == Format::Json && all(&root) {
                // Plug-ins list servers without a table around them.
                walk = Walk::new(text);
                walk.servers_of(&root, Here { server: None, area });
            }
            if client == Client::ClaudeCode
                && let Some(projects) = root.member("projects")
            {
                walk.reading.projects = projects.value.members().iter().map(|m| m.key.clone()).collect();
            }
        }
        Err(problem) => walk.reading.problem = Some(problem),
    }
    walk.between();
    walk.reading
}

#[derive(Debug, Clone, Copy)]
struct Here {
    server: Option<usize>,
    area: Area,
}

struct Walk<'a> {
    text: &'a str,
    lines: Vec<usize>,
    path: Vec<String>,
    covered: Vec<Range<usize>>,
    reading: Reading,
}

impl<'a> Walk<'a> {
    fn new(text: &'a str) -> Self {
        let lines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Self { text, lines, path: Vec::new(), covered: Vec::new(), reading: Reading::default() }
    }

    fn table(&mut self, table: &Node, here: Here) {
        for member in table.members() {
            self.covered.push(member.key_span.clone());
            self.path.push(member.key.clone());
            if here.server.is_none() && TABLES.contains(&member.key.as_str()) {
                self.servers_of(&member.value, here);
            } else {
                self.member(table, member, here);
            }
            self.path.pop();
        }
    }

    /// The members of a table of servers; one that is no server is a member like others.
    fn servers_of(&mut self, table: &Node, here: Here) {
        if table.members().is_empty() {
            self.node("", table, here);
        }
        for member in table.members() {
            self.covered.push(member.key_span.clone());
            self.path.push(member.key.clone());
            match transport(&member.value) {
                Some(transport) if self.reading.servers.len() < DISCOVER_FOUND => {
                    let server = Server { name: member.key.clone(), path: self.path.clone(), transport };
                    self.reading.servers.push(server);
                    let server = Some(self.reading.servers.len() - 1);
                    self.table(&member.value, Here { server, area: Area::Other });
                }
                Some(_) => self.reading.cut = true,
                None => self.member(table, member, here),
            }
            self.path.pop();
        }
    }

    fn member(&mut self, parent: &Node, member: &Member, here: Here) {
        let area = area_of(&member.key, here);
        if area == Area::Inputs && member.key == "default" {
            return self.input(parent, member, here);
        }
        self.node(&member.key, &member.value, Here { area, ..here });
    }

    fn node(&mut self, name: &str, node: &Node, here: Here) {
        let span = &node.span;
        match &node.value {
            Value::Table(_) => self.table(node, here),
            Value::List(elements) => self.list(name, elements, here),
            Value::Text(text) => self.leaf(name, text, span, here),
            Value::Word(word) => {
                self.covered.push(span.clone());
                if (here.server.is_some() || here.area == Area::Env) && recognise::is_secret_word(name, word)
                {
                    let spot = Spot { range: 0..word.len(), why: Why::Name };
                    let binding = (here.area == Area::Env).then(|| environment(name, word));
                    self.keep(&spot, word, span, here, String::new(), binding);
                }
            }
        }
    }

    fn list(&mut self, name: &str, elements: &[Node], here: Here) {
        let mut before: Option<&str> = None;
        for (index, element) in elements.iter().enumerate() {
            self.path.push(index.to_string());
            match (&element.value, here.area) {
                (Value::Text(text), Area::Args) => {
                    self.covered.push(element.span.clone());
                    for found in args::word(before, text, Care::Loose) {
                        let (how, binding) = given(&found.role, text, &found.spot);
                        self.keep(&found.spot, text, &element.span, here, how, binding);
                    }
                }
                (Value::Text(text), Area::Env) => {
                    self.covered.push(element.span.clone());
                    for found in args::word(Some("-e"), text, Care::Loose) {
                        let (how, binding) = given(&found.role, text, &found.spot);
                        self.keep(&found.spot, text, &element.span, here, how, binding);
                    }
                }
                _ => self.node(name, element, here),
            }
            before = element.text();
            self.path.pop();
        }
    }

    fn leaf(&mut self, name: &str, text: &str, span: &Range<usize>, here: Here) {
        self.covered.push(span.clone());
        let loose = here.server.is_some() || matches!(here.area, Area::Env | Area::Headers | Area::Inputs);
        let care = if loose { Care::Loose } else { Care::Strict };
        let name = if here.area == Area::Names { "" } else { name };
        for spot in recognise::value(name, text, care) {
            let binding = match here.area {
                Area::Env => {
                    (!name.is_empty() && reference::find(text).is_empty()).then(|| environment(name, text))
                }
                Area::Headers => header(name, text, &spot),
                Area::Url => address(text, &spot),
                _ => None,
            };
            self.keep(&spot, text, span, here, String::new(), binding);
        }
    }

    /// The default of an input: a secret whenever the input is for a password.
    fn input(&mut self, parent: &Node, member: &Member, here: Here) {
        let id = parent.member("id").and_then(|id| id.value.text()).unwrap_or_default();
        let password = parent.member("password").is_some_and(
            |password| matches!(&password.value.value, Value::Word(word) if word.as_str() == "true"),
        );
        match member.value.text() {
            Some(text) if password && !reference::is_hollow(text) => {
                self.covered.push(member.value.span.clone());
                let spot = Spot { range: 0..text.len(), why: Why::Name };
                self.keep(&spot, text, &member.value.span, here, String::new(), None);
            }
            Some(text) => self.leaf(id, text, &member.value.span, Here { area: Area::Inputs, ..here }),
            None => self.node(id, &member.value, here),
        }
    }

    /// Comments, and whatever else is no value: all of it, when the text is no tree.
    fn between(&mut self) {
        self.covered.sort_by_key(|range| range.start);
        let mut at = 0;
        let covered = std::mem::take(&mut self.covered);
        for range in covered.iter().cloned().chain(std::iter::once(self.text.len()..self.text.len())) {
            if at < range.start
                && let Some(gap) = self.text.get(at..range.start)
            {
                let here = Here { server: None, area: Area::Other };
                let how = if self.reading.problem.is_some() { "text" } else { "comment" };
                for spot in recognise::value("", gap, Care::Strict) {
                    let span = at + spot.range.start..at + spot.range.end;
                    self.keep(&spot, gap, &span, here, how.to_owned(), None);
                }
            }
            at = at.max(range.end);
        }
    }

    fn keep(
        &mut self,
        spot: &Spot,
        text: &str,
        span: &Range<usize>,
        here: Here,
        how: String,
        binding: Option<Binding>,
    ) {
        let Some(secret) = text.get(spot.range.clone()) else { return };
        if self.reading.found.len() >= DISCOVER_FOUND {
            self.reading.cut = true;
            return;
        }
        let skipped =
            here.server.and_then(|index| self.reading.servers.get(index)).map_or(0, |s| s.path.len());
        let mut at = self.path.get(skipped..).unwrap_or_default().join(".");
        if !how.is_empty() {
            at = if at.is_empty() { how } else { format!("{at} {how}") };
        }
        self.reading.found.push(Found {
            server: here.server,
            at,
            path: self.path.clone(),
            span: span.clone(),
            line: 1 + self.lines.partition_point(|end| *end < span.start),
            why: spot.why,
            secret: Secret::new(secret.to_owned()),
            binding,
        });
    }
}

fn area_of(key: &str, here: Here) -> Area {
    match key {
        "env" | "environment" => Area::Env,
        // Codex sets variables for all programs so.
        "set" if here.server.is_none() => Area::Env,
        "headers" | "http_headers" | "httpHeaders" => Area::Headers,
        "env_http_headers" | "env_vars" | "bearer_token_env_var" => Area::Names,
        "inputs" => Area::Inputs,
        "args" | "command" | "cmd" => Area::Args,
        key if here.server.is_some() && URLS.contains(&key) && here.area == Area::Other => Area::Url,
        _ => here.area,
    }
}

/// Where an entry's server is, when it is the entry of one.
pub(crate) fn transport(entry: &Node) -> Option<Transport> {
    let text = |key: &str| {
        entry.member(key).and_then(|member| match &member.value.value {
            Value::Text(text) => Some(text.as_str()),
            Value::List(words) => words.first().and_then(Node::text),
            _ => None,
        })
    };
    if let Some(command) = text("command") {
        let program = command.split_whitespace().find(|word| !word.contains('=')).unwrap_or_default();
        let file = program.rsplit(['/', '\\']).next().unwrap_or_default();
        return Some(Transport::Program(file.to_owned()));
    }
    let address = URLS.iter().find_map(|key| text(key))?;
    Some(match ::url::Url::parse(address) {
        Ok(url) => {
            let host = url.host_str().unwrap_or_default();
            let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
            Transport::Url { scheme: url.scheme().to_owned(), host }
        }
        Err(_) => Transport::Url { scheme: String::new(), host: String::new() },
    })
}
