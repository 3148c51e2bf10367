//! The one configuration parser: `portunus.yaml` → [`Config`], every value checked, every error with its place.

pub(crate) mod approvals;
pub(crate) mod clients;
pub(crate) mod data;
pub(crate) mod file;
pub(crate) mod governance;
pub(crate) mod login;
pub(crate) mod machines;
pub(crate) mod oauth;
pub(crate) mod rotators;
pub(crate) mod sealing;
pub(crate) mod tls;
pub(crate) mod upstream;

use crate::tls::UpstreamTls;
use portunus_core::id::{CredentialName, GroupName, ServerName};
use portunus_core::limits::{self, ServerLimits};
use portunus_core::server::{Actor, Server, Upstream};
use portunus_edge::ToolLabels;
use portunus_edge::bridge::Protocol;
use portunus_edge::facts::Declared;
use portunus_governance::findings::Thresholds;
use portunus_oauth::client_admin::NewClient;
use portunus_oauth::config::{Lives, OFFLINE_SCOPE, SCOPE};
use portunus_oauth::machines::Machines;
use portunus_oauth::registration::Registration;
use portunus_policy::TrustGroups;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// Everything `serve` needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Where it was read from.
    pub path: PathBuf,
    pub public_url: Url,
    /// Web origins, as browsers write them.
    pub allowed_origins: Vec<String>,
    pub https: SocketAddr,
    pub http: Option<SocketAddr>,
    pub admin: Option<SocketAddr>,
    pub tls: tls::Tls,
    pub client_certificates: Option<tls::ClientCertificates>,
    pub store: PathBuf,
    pub sealing_key: sealing::SealingKey,
    pub ledger: PathBuf,
    pub admin_socket: PathBuf,
    pub ca_file: PathBuf,
    /// What upstream servers must be given to trust and to refuse certificates of Portunus' own authorities.
    pub authorities: PathBuf,
    pub login: login::Login,
    pub policies: PathBuf,
    /// Candidate policies.
    pub shadow_policies: Option<PathBuf>,
    pub tokens: Lives,
    pub classes: Vec<data::DataClass>,
    pub servers: Vec<ServerConfig>,
    pub registration: Registration,
    pub clients: Vec<NewClient>,
    /// Files that the clients' keys and secrets were read from.
    pub client_files: Vec<PathBuf>,
    pub machines: Machines,
    /// Whether each proof of possession must hold a nonce of ours.
    pub dpop_nonce: bool,
    pub approvals: approvals::Approvals,
    pub governance: Thresholds,
    /// Two of this group allow what is asked for in an emergency.
    pub emergency_approvers: Option<GroupName>,
    /// Plug-ins that change secrets.
    pub rotators: Vec<rotators::Plugin>,
}

/// A published server, and what an administrator confirmed of its tools.
#[derive(Debug, Clone)]
pub(crate) struct ServerConfig {
    pub server: Server,
    /// The protocol era of its upstream.
    pub protocol: Protocol,
    pub tools: Tools,
    /// Which arguments hold SQL, as far as that was said.
    pub sql: HashMap<String, Declared>,
    /// Tools that may be given secrets in their arguments.
    pub takes_secrets: HashSet<String>,
    pub labels: ToolLabels,
    pub pinned: bool,
    /// How its URL is reached.
    pub tls: UpstreamTls,
    /// How it is connected to, where it is used with an account elsewhere.
    pub oauth: Option<oauth::Oauth>,
}

/// What is confirmed of a server's tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tools {
    /// They are those of `portunus sqlite`.
    Sql,
    /// These and no others.
    Confirmed(BTreeMap<String, TrustGroups>),
}

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub(crate) struct ConfigError {
    /// `file:line:column`, or `file: key`.
    place: String,
    message: String,
}

impl ConfigError {
    /// All of these as one, each on a line of its own.
    fn all(errors: Vec<Self>) -> Option<Self> {
        errors.into_iter().reduce(|all, next| Self { message: format!("{}\n{next}", all.message), ..all })
    }
}

/// What stands in place of a credential's name for a server that needs none.
const NO_CREDENTIAL: &str = "none";

/// Reads and checks a configuration file; relative paths in it are relative to its directory.
pub(crate) fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
        place: path.display().to_string(),
        message: format!("cannot be read: {error}"),
    })?;
    parse(path, &text)
}

/// The same, from text.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    let file: file::File = serde_saphyr::from_str(text).map_err(|error| syntax(path, &error))?;
    let at = |key: &str| Place { path, text, key: key.to_owned() };
    let base = path.parent().unwrap_or(Path::new("."));
    let store = file.store.strip_prefix("sqlite:").ok_or_else(|| {
        at("store").error("must be `sqlite:PATH`; PostgreSQL is not supported by this version")
    })?;
    let store = base.join(store);
    let state = store.parent().unwrap_or(base).to_owned();
    let label_lives = data::lives(&file.labels).map_err(|m| at("labels").error(&m))?;
    let classes = label_lives.classes(&file.data_classes).map_err(|m| at("data_classes").error(&m))?;
    let servers = servers(&file.servers, &label_lives, base, &at)?;
    let clients = configured_clients(&file.clients, base, &servers, &at)?;
    let client_files = file.clients.iter().flat_map(|c| [&c.jwks_file, &c.secret_file]).flatten();
    let names: Vec<ServerName> = servers.iter().map(|entry| entry.server.name.clone()).collect();
    let files = machines::Files {
        workloads: &file.workloads,
        identity_assertions: &file.identity_assertions,
        exchanges: &file.exchanges,
        resource_servers: &file.resource_servers,
        clients: file.clients.iter().map(|client| client.id.as_str()).collect(),
    };
    let login = login::read(&file.login, base).map_err(|m| at("login").error(&m))?;
    Ok(Config {
        path: path.to_owned(),
        public_url: public_url(&file.public_url).map_err(|m| at("public_url").error(&m))?,
        allowed_origins: origins(&file.allowed_origins).map_err(|m| at("allowed_origins").error(&m))?,
        https: address(&file.listen.https).map_err(|m| at("https").error(&m))?,
        admin: file.listen.admin.as_deref().map(address).transpose().map_err(|m| at("admin").error(&m))?,
        http: file.listen.http.as_deref().map(address).transpose().map_err(|m| at("http").error(&m))?,
        client_certificates: file.tls.client_certificates.as_ref().map(|c| tls::clients(c, base)),
        tls: tls::parse(&file.tls, file.listen.http.is_some(), base).map_err(|m| at("tls").error(&m))?,
        sealing_key: sealing::read(&file.sealing_key, base).map_err(|m| at("sealing_key").error(&m))?,
        ledger: file.ledger.as_ref().map_or_else(|| state.join("ledger"), |l| base.join(l)),
        admin_socket: file.admin_socket.as_ref().map_or_else(|| state.join("admin.sock"), |s| base.join(s)),
        ca_file: state.join("ca.pem"),
        authorities: state.join("authorities"),
        login,
        classes,
        shadow_policies: file.shadow_policies.as_ref().map(|directory| base.join(directory)),
        policies: base.join(&file.policies),
        registration: clients::registration(file.client_registration.as_ref())
            .map_err(|m| at("client_registration").error(&m))?,
        client_files: client_files.map(|file| base.join(file)).collect(),
        clients,
        machines: machines::machines(&files, &names, base).map_err(|m| at("workloads").error(&m))?,
        rotators: rotators::read(&file.rotators).map_err(|m| at("rotators").error(&m))?,
        approvals: approvals::read(file.approvals.as_ref(), base).map_err(|m| at("approvals").error(&m))?,
        emergency_approvers: file.governance.as_ref().and_then(|part| part.emergency_approvers.clone()),
        governance: governance::read(file.governance.as_ref()).map_err(|m| at("governance").error(&m))?,
        dpop_nonce: file.dpop.is_some_and(|dpop| dpop.nonce),
        tokens: lives(file.tokens.as_ref()).map_err(|m| at("tokens").error(&m))?,
        servers,
        store,
    })
}

fn configured_clients<'a>(
    files: &[clients::ClientEntry],
    base: &Path,
    servers: &[ServerConfig],
    at: &impl Fn(&str) -> Place<'a>,
) -> Result<Vec<NewClient>, ConfigError> {
    let servers: Vec<&Server> = servers.iter().map(|entry| &entry.server).collect();
    let mut known: Vec<NewClient> = Vec::new();
    for file in files {
        let client = clients::client(file, base, &servers).map_err(|message| at(&file.id).error(&message))?;
        if known.iter().any(|other| other.client_id == client.client_id) {
            return Err(at(&file.id).error("two clients have this id"));
        }
        known.push(client);
    }
    Ok(known)
}

/// Where in the file a complaint belongs.
struct Place<'a> {
    path: &'a Path,
    text: &'a str,
    key: String,
}

impl Place<'_> {
    fn error(&self, message: &str) -> ConfigError {
        // The first line that has it as a key, else as a value, is where a person will look.
        let needle = self.key.as_str();
        let key = format!("{needle}: ");
        let line = |text: &str| self.text.lines().position(|l| l.contains(text));
        let line = line(&key).or_else(|| line(needle)).map_or(1, |n| n + 1);
        ConfigError {
            place: format!("{}:{line}: {needle}", self.path.display()),
            message: message.to_owned(),
        }
    }
}

fn syntax(path: &Path, error: &serde_saphyr::Error) -> ConfigError {
    let error = error.without_snippet();
    let place = error.location().map_or_else(
        || path.display().to_string(),
        |l| format!("{}:{}:{}", path.display(), l.line(), l.column()),
    );
    let text = error.to_string();
    let message = text.lines().next().unwrap_or_default().to_owned();
    let hint = nearest_key(&message).map(|key| format!("; did you mean `{key}`?")).unwrap_or_default();
    ConfigError { place, message: format!("{message}{hint}") }
}

/// From "unknown field `x`, expected one of a, b …" the nearest known key.
fn nearest_key(message: &str) -> Option<&str> {
    let (unknown, known) = message.split_once("unknown field `")?.1.split_once('`')?;
    let known = known.split_once("expected ")?.1.split(" at line ").next()?;
    known
        .split([',', ' ', '`'])
        .filter(|word| !word.is_empty() && !["one", "of", "or"].contains(word))
        .map(|known| (strsim::damerau_levenshtein(unknown, known), known))
        .filter(|(distance, known)| *distance <= known.len() / 2)
        .min()
        .map(|(_, known)| known)
}

fn public_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("`{text}` is not a URL: {e}"))?;
    let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if url.scheme() != "https" || url.host_str().is_none() || !plain || !url.username().is_empty() {
        return Err(format!("`{text}` must be https://HOST or https://HOST:PORT"));
    }
    Ok(url)
}

/// Origins as browsers write them, since they are compared byte for byte.
fn origins(texts: &[String]) -> Result<Vec<String>, String> {
    let max = portunus_core::limits::ORIGINS;
    if texts.len() > max {
        return Err(format!("at most {max} origins can be allowed"));
    }
    let odd = texts.iter().find(|text| {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
        url.is_none_or(|url| url.origin().ascii_serialization() != **text)
    });
    match odd {
        Some(text) => {
            Err(format!("`{text}` must be https://HOST or https://HOST:PORT, in lower case, with no path"))
        }
        None => Ok(texts.to_vec()),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` must be IP:PORT, such as 0.0.0.0:443 or [::]:443"))
}

fn servers<'a>(
    files: &[file::Server],
    lives: &data::Lives,
    base: &Path,
    at: &impl Fn(&str) -> Place<'a>,
) -> Result<Vec<ServerConfig>, ConfigError> {
    let missing = files.iter().flat_map(|file| {
        let named = |what: &str| at(&file.name).error(&format!("the server `{}` has no {what}", file.name));
        missing(file).into_iter().map(named).collect::<Vec<_>>()
    });
    if let Some(error) = ConfigError::all(missing.collect()) {
        return Err(error);
    }
    let mut names = HashSet::new();
    let mut servers = Vec::new();
    for file in files {
        let wrong = |message: String| at(&file.name).error(&message);
        let (upstream, tls) = upstream::read(&file.upstream, base).map_err(wrong)?;
        let oauth = match &file.credential {
            Some(file::Credential::Account(account)) => {
                Some(oauth::read(&account.oauth, &upstream, base).map_err(wrong)?)
            }
            _ => None,
        };
        let server = server(file, upstream).map_err(wrong)?;
        if !names.insert(server.name.clone()) {
            return Err(at(&file.name).error("two servers have this name"));
        }
        let tools = tools(file.tools.as_ref()).map_err(|message| at(&file.name).error(&message))?;
        let protocol = protocol(&file.protocol).map_err(|message| at(&file.name).error(&message))?;
        let sql = data::sql(file.tools.as_ref()).map_err(|message| at(&file.name).error(&message))?;
        let takes_secrets = file.secrets.iter().cloned().collect();
        let labels = lives.of_server(file).map_err(|message| at(&file.name).error(&message))?;
        let pinned = file.pinned;
        servers.push(ServerConfig {
            server,
            protocol,
            tools,
            sql,
            takes_secrets,
            labels,
            pinned,
            tls,
            oauth,
        });
    }
    Ok(servers)
}

/// What a server must have before it is published and this one has not, each with what to do.
fn missing(file: &file::Server) -> Vec<&'static str> {
    let has_place = matches!(file.upstream, file::Upstream::Place(_));
    let all = [
        (file.owner.trim().is_empty(), "`owner`: say who answers for it, such as ana@example.com"),
        (file.purpose.trim().is_empty(), "`purpose`: say in a sentence what it is for"),
        (file.environment.trim().is_empty(), "`environment`: give one such as development or production"),
        (
            file.actors.is_empty(),
            "`actors`: name those of assistant, autonomous, workload and ci that may drive its clients",
        ),
        (
            has_place && file.credential.is_none(),
            "`credential`: give the name of the one that it is called with, or `none` if it needs none",
        ),
    ];
    all.into_iter().filter_map(|(is_missing, what)| is_missing.then_some(what)).collect()
}

/// The credential of a server, if it needs one.
fn credential(file: &file::Server, upstream: &Upstream) -> Result<Option<CredentialName>, String> {
    let Some(file::Credential::Name(name)) = &file.credential else { return Ok(None) };
    if name == NO_CREDENTIAL {
        return Ok(None);
    }
    let name = CredentialName::parse(name).map_err(|e| e.to_string())?;
    if *upstream == Upstream::Tunnel {
        return Err(format!(
            "the credential `{name}` cannot go through a tunnel: the connector has its own; take `credential` out"
        ));
    }
    Ok(Some(name))
}

fn server(file: &file::Server, upstream: Upstream) -> Result<Server, String> {
    let name = ServerName::parse(&file.name).map_err(|e| e.to_string())?;
    if ["oauth", "console", "login", "logout", "account", "assets", "device", "tunnel", "connections"]
        .contains(&name.as_str())
    {
        return Err(format!("`{name}` is a path of Portunus itself; choose another name"));
    }
    Ok(Server {
        title: file.title.clone().unwrap_or_else(|| file.name.clone()),
        owner: file.owner.clone(),
        purpose: file.purpose.clone(),
        environment: file.environment.clone(),
        actors: file.actors.iter().map(|a| actor(a)).collect::<Result<_, _>>()?,
        credential: credential(file, &upstream)?,
        limits: server_limits(file.limits.as_ref())?,
        scopes: scopes(&file.scopes)?,
        name,
        upstream,
    })
}

fn protocol(word: &str) -> Result<Protocol, String> {
    Protocol::ALL
        .into_iter()
        .find(|protocol| protocol.as_str() == word)
        .ok_or_else(|| format!("protocol `{word}` must be auto, modern, legacy or sse"))
}

fn tools(file: Option<&file::Tools>) -> Result<Tools, String> {
    match file {
        None => Ok(Tools::Confirmed(BTreeMap::new())),
        Some(file::Tools::Word(word)) if word == "sql" => Ok(Tools::Sql),
        Some(file::Tools::Word(word)) => Err(format!("tools `{word}` must be `sql` or {{ TOOL: [groups] }}")),
        Some(file::Tools::Confirmed(tools)) => {
            let confirmed =
                tools.iter().map(|(tool, file)| Ok((tool.clone(), trust_groups(tool, file.groups())?)));
            Ok(Tools::Confirmed(confirmed.collect::<Result<_, String>>()?))
        }
    }
}

fn trust_groups(tool: &str, words: &[String]) -> Result<TrustGroups, String> {
    let mut groups = TrustGroups { read: false, write: false, destructive: false, open_world: false };
    for word in words {
        match word.as_str() {
            "read" => groups.read = true,
            "write" => groups.write = true,
            "destructive" => groups.destructive = true,
            "open_world" => groups.open_world = true,
            _ => {
                return Err(format!(
                    "group `{word}` of tool `{tool}` must be read, write, destructive or open_world"
                ));
            }
        }
    }
    if words.is_empty() {
        return Err(format!(
            "tool `{tool}` needs at least one group: read, write, destructive or open_world"
        ));
    }
    Ok(groups)
}

fn actor(text: &str) -> Result<Actor, String> {
    [Actor::Assistant, Actor::Autonomous, Actor::Workload, Actor::Ci]
        .into_iter()
        .find(|a| a.as_str() == text)
        .ok_or_else(|| format!("actor `{text}` must be one of assistant, autonomous, workload, ci"))
}

fn server_limits(file: Option<&file::Limits>) -> Result<ServerLimits, String> {
    let mut limits = ServerLimits::default();
    let Some(file) = file else { return Ok(limits) };
    if let Some(text) = &file.request_bytes {
        limits.request_bytes = usize::try_from(bytes(text)?).map_err(|_| format!("`{text}` is too large"))?;
    }
    if let Some(text) = &file.response_bytes {
        limits.response_bytes = bytes(text)?;
    }
    if let Some(text) = &file.timeout {
        limits.timeout = duration(text)?;
    }
    if let Some(calls) = file.concurrent_calls {
        limits.concurrent_calls = calls;
    }
    Ok(limits)
}

/// Scopes fit into a header, and none takes the name of one that exists anyway.
fn scopes(file: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    if file.len() > limits::SCOPES {
        return Err(format!("more than {} scopes", limits::SCOPES));
    }
    for (scope, description) in file {
        let visible = scope.bytes().all(|b| matches!(b, b'!' | b'#'..=b'[' | b']'..=b'~'));
        if !visible || scope.is_empty() || scope.len() > limits::SCOPE_BYTES {
            return Err(format!(
                "scope `{}` must be visible ASCII without quote and backslash",
                scope.escape_debug()
            ));
        }
        if [SCOPE, OFFLINE_SCOPE].contains(&scope.as_str()) {
            return Err(format!("scope `{scope}` exists already"));
        }
        if description.trim().is_empty() || description.len() > limits::SCOPE_BYTES {
            return Err(format!("scope `{scope}` needs a short description, for the consent page"));
        }
    }
    Ok(file.clone())
}

fn lives(file: Option<&file::Tokens>) -> Result<Lives, String> {
    let mut lives = Lives::default();
    let Some(file) = file else { return Ok(lives) };
    let within = |text: &str, (least, most): (Duration, Duration)| {
        let life = duration(text)?;
        let good = (least..=most).contains(&life);
        let bad =
            || format!("`{text}` must be between {} s and {} h", least.as_secs(), most.as_secs() / 3600);
        good.then_some(life).ok_or_else(bad)
    };
    if let Some(text) = &file.access {
        lives.access = within(text, limits::TOKEN_LIVES.0)?;
    }
    if let Some(text) = &file.refresh {
        lives.refresh = within(text, limits::TOKEN_LIVES.1)?;
    }
    if lives.refresh < lives.access {
        return Err(String::from("`refresh` must not be shorter than `access`"));
    }
    Ok(lives)
}

/// Parses `8MiB`, `64KiB`, `1000B`.
fn bytes(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is not a size such as 64KiB or 8MiB");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| bad())?;
    let factor = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(bad()),
    };
    number.checked_mul(factor).ok_or_else(bad)
}

/// Parses `500ms`, `60s`, `10m`, `2h`, `30d`; more than zero.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is not a time such as 500ms, 60s, 10m, 2h or 30d");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok().filter(|n| *n > 0).ok_or_else(bad)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(bad()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "public_url: https://tools.example.com
listen: { https: 0.0.0.0:443, admin: 127.0.0.1:9090 }
tls: { local_ca: true }
store: sqlite:state/portunus.db
sealing_key: { file: sealing.key }
login: { local: true }
policies: ./policies
servers:
  - name: sales
    owner: ana@example.com
    purpose: Quarterly sales questions
    upstream: tunnel
    limits: { request_bytes: 64KiB, timeout: 30s }
  - name: wiki
    owner: ana@example.com
    purpose: Notes
    upstream: { url: 'https://wiki.internal/mcp' }
    credential: wiki-token
  - name: files
    owner: ana@example.com
    purpose: Files
    upstream: { command: [npx, some-server], env: { KEY: hunter2 }, cwd: files, per: caller }
    credential: none
";

    fn parse_text(text: &str) -> Result<Config, String> {
        parse(Path::new("/etc/portunus/portunus.yaml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn a_good_file_is_read_with_paths_relative_to_it() {
        let config = parse_text(GOOD).unwrap();
        assert_eq!(config.store, Path::new("/etc/portunus/state/portunus.db"));
        assert_eq!(config.ledger, Path::new("/etc/portunus/state/ledger"));
        assert_eq!(config.servers[0].server.limits.request_bytes, 65_536);
        assert_eq!(config.servers[0].server.limits.timeout, Duration::from_secs(30));
        assert!(
            matches!(&config.servers[1].server.upstream, Upstream::Http(u) if u.host_str() == Some("wiki.internal"))
        );
        let Upstream::Program(program) = &config.servers[2].server.upstream else { panic!("a program") };
        assert_eq!(program.command, ["npx", "some-server"]);
        assert_eq!(program.directory, Path::new("/etc/portunus/files"));
        assert_eq!(program.per, portunus_core::server::Per::Caller);
        assert_eq!(program.environment["KEY"].expose(), "hunter2");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn all_that_servers_lack_is_named_at_once_one_line_each() {
        let bare = GOOD
            .replacen("    owner: ana@example.com\n", "", 1)
            .replace("    purpose: Quarterly sales questions\n", "    actors: []\n")
            .replace("    credential: wiki-token\n", "")
            .replace("    credential: none\n", "    credential:\n    environment: ''\n");
        let error = parse_text(&bare).unwrap_err();
        let lines: Vec<&str> = error.lines().collect();
        let wanted = [
            ":9: sales: the server `sales` has no `owner`",
            ":9: sales: the server `sales` has no `purpose`",
            ":9: sales: the server `sales` has no `actors`",
            ":13: wiki: the server `wiki` has no `credential`",
            ": files: the server `files` has no `environment`",
            ": files: the server `files` has no `credential`",
        ];
        assert_eq!(lines.len(), wanted.len(), "{error}");
        for (line, wanted) in lines.iter().zip(wanted) {
            assert!(
                line.starts_with("/etc/portunus/portunus.yaml:") && line.contains(wanted),
                "{line} / {wanted}"
            );
        }
    }

    #[test]
    fn a_server_says_which_credential_it_has_or_that_it_needs_none() {
        let config = parse_text(GOOD).unwrap();
        let credentials: Vec<_> =
            config.servers.iter().map(|entry| entry.server.credential.clone()).collect();
        assert_eq!(credentials, [None, Some(CredentialName::parse("wiki-token").unwrap()), None]);
        let error =
            parse_text(&GOOD.replace("upstream: tunnel", "upstream: tunnel\n    credential: k")).unwrap_err();
        assert!(error.contains("the connector has its own"), "{error}");
        parse_text(&GOOD.replace("upstream: tunnel", "upstream: tunnel\n    credential: none")).unwrap();
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn mistakes_are_named_with_place_and_remedy() {
        let cases = [
            (GOOD.replace("policies:", "polices:"), "did you mean `policies`?"),
            (GOOD.replace("upstream: tunnel", "upstream: tunel"), ":9: sales"),
            (GOOD.replace("https://tools.example.com", "http://tools.example.com"), "must be https://"),
            (GOOD.replace("64KiB", "64 kilobytes"), "not a size"),
            (GOOD.replace("30s", "0s"), "not a time"),
            (GOOD.replace("upstream: tunnel", "upstream: tunnel\n    protocol: old"), "auto, modern, legacy"),
            (GOOD.replace("name: wiki", "name: sales"), "two servers"),
            (format!("{GOOD}client_registration: {{ cimd: closed }}\n"), "must be open, listed or approval"),
            (format!("{GOOD}client_registration: {{ allow: ['*.com'] }}\n"), "top-level"),
            (format!("{GOOD}clients:\n  - {{ id: a }}\n"), "redirect_uris"),
            (format!("{GOOD}clients:\n  - {{ id: a, servers: [sales] }}\n"), "needs a secret or keys"),
            (
                format!("{GOOD}clients:\n  - {{ id: a, servers: [shop], secret_file: s }}\n"),
                "s: No such file",
            ),
            (GOOD.replace("name: wiki", "name: oauth"), "choose another name"),
            (format!("{GOOD}governance: {{ max_age: 30d, warn_age: 60d }}\n"), "must not be longer"),
            (GOOD.replace("sqlite:state", "postgres://state"), "must be `sqlite:PATH`"),
            (GOOD.replace("{ local_ca: true }", "{ local_ca: true, cert: a }"), "give one of"),
            (GOOD.replace("[npx, some-server]", "[]"), "needs the name of a program"),
            (GOOD.replace("per: caller", "per: user"), "`per: user` must be `caller` or `server`"),
            (GOOD.replace("{ KEY: hunter2 }", "{ 'K=': hunter2 }"), "cannot be the name"),
            (GOOD.replace("{ url: 'https", "{ cwd: x, url: 'https"), "`cwd` belongs to `command`"),
            (GOOD.replace("internal/mcp'", "internal/mcp', client_cert: a.pem"), "needs both"),
            (
                GOOD.replace("'https://wiki.internal/mcp'", "'http://wiki.internal/mcp', ca: a.pem"),
                "need an https URL",
            ),
            (GOOD.replace("{ command:", "{ ca: a.pem, command:"), "belong to `url`"),
            (GOOD.replace("{ command:", "{ url: 'http://a', command:"), "either `url` or `command`"),
            (
                GOOD.replace("credential: wiki-token", "credential: { oauth: { par: user } }"),
                "did you mean `per`?",
            ),
            (
                GOOD.replace("credential: wiki-token", "credential: { oauth: { per: group } }"),
                "`per: group` must be `user` or `shared`",
            ),
            (
                GOOD.replace("upstream: tunnel", "upstream: tunnel\n    credential: { oauth: {} }"),
                "`oauth` is for servers with",
            ),
            (
                GOOD.replace(
                    "credential: wiki-token",
                    "credential: { oauth: { issuer: 'http://a.example' } }",
                ),
                "must be an https URL",
            ),
            (
                GOOD.replace(
                    "credential: wiki-token",
                    "credential: { oauth: { resource: 'https://a.example/mcp' } }",
                ),
                "same host as the upstream",
            ),
            (
                GOOD.replace("credential: wiki-token", "credential: { oauth: { client_secret_file: s } }"),
                "needs `client_id`",
            ),
            (
                GOOD.replace("credential: wiki-token", "credential: { oauth: { scopes: ['a b'] } }"),
                "is not a scope",
            ),
            (GOOD.replace("policies:", "tokens: { access: 2d }\npolicies:"), "must be between 1 s and 24 h"),
            (
                GOOD.replace("policies:", "tokens: { access: 2h, refresh: 1h }\npolicies:"),
                "must not be shorter",
            ),
            (
                GOOD.replace("upstream: tunnel", "upstream: tunnel\n    scopes: { mcp: All }"),
                "exists already",
            ),
            (
                GOOD.replace("upstream: tunnel", "upstream: tunnel\n    scopes: { 'a b': All }"),
                "visible ASCII",
            ),
            (
                GOOD.replace("upstream: tunnel", "upstream: tunnel\n    scopes: { a: '' }"),
                "short description",
            ),
        ];
        for (text, wanted) in cases {
            let error = parse_text(&text).expect_err(wanted);
            assert!(error.contains(wanted), "{error:?} should contain {wanted:?}");
        }
    }
}
