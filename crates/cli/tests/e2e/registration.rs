//! Which clients come in, and how they prove themselves: over the real ports, with documents and key sets behind real TLS,
//! and with OAuth libraries that no one here wrote.

use crate::app::{App, server_at, until};
use crate::clients::{directory, node, skipped};
use crate::http::{Reply, call};
use crate::oauth::{Client, REDIRECT, Tokens, visit};
use crate::upstream::Upstream;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const PERMIT: &str = "permit(principal, action, resource);";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A client's own web site: `https://localhost:PORT`, with a certificate that only those trust who are told to.
struct Site {
    url: String,
    certificate: String,
    pages: Arc<Mutex<HashMap<String, String>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    async fn start() -> Self {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(pair.signing_key.serialize_der().into());
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let site = Self { url, certificate: pair.cert.pem(), pages: Arc::default(), asked: Arc::default() };
        let (pages, asked) = (site.pages.clone(), site.asked.clone());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, pages, asked) = (acceptor.clone(), pages.clone(), asked.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut head = vec![0; 4096];
                    let Ok(length) = stream.read(&mut head).await else { return };
                    let head = String::from_utf8_lossy(&head[..length]).into_owned();
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    let page = pages.lock().unwrap().get(&path).cloned();
                    asked.lock().unwrap().push(path);
                    let (status, body) =
                        page.map_or(("404 Not Found", String::new()), |body| ("200 OK", body));
                    let answer = format!(
                        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nCache-Control: max-age=600\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        site
    }

    fn publish(&self, path: &str, body: &Value) {
        self.pages.lock().unwrap().insert(path.to_owned(), body.to_string());
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn host(&self) -> &str {
        self.url.trim_start_matches("https://")
    }
}

/// An edge that trusts the site's certificate, under these rules.
async fn edge(site: &Site, upstream: &Upstream, rules: &str) -> App {
    let authorities = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(authorities.path(), &site.certificate).unwrap();
    App::serve_as(
        &server_at("echo", &upstream.url),
        PERMIT,
        |_, configuration| format!("{configuration}client_registration: {rules}\n"),
        &[("SSL_CERT_FILE", authorities.path().to_str().unwrap())],
    )
    .await
}

fn jwk(key: &Ed25519KeyPair, kid: &str) -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": BASE64URL_NOPAD.encode(key.public_key().as_ref()) })
}

fn assertion(key: &Ed25519KeyPair, kid: &str, client: &str, audience: &str, jti: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "a client of the real edge lives in real time")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let header = json!({ "alg": "EdDSA", "kid": kid, "typ": "client-authentication+jwt" });
    let claims =
        json!({ "iss": client, "sub": client, "aud": audience, "iat": now, "exp": now + 60, "jti": jti });
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let message = format!("{}.{}", part(&header), part(&claims));
    let signature = BASE64URL_NOPAD.encode(key.sign(message.as_bytes()).as_ref());
    format!("{message}.{signature}")
}

async fn is_admitted(app: &App, token: &str) -> bool {
    let reply = app.http().send(call(&app.mcp_url("echo"), token, "echo", &json!({}))).await.unwrap();
    assert!([200, 401].contains(&reply.status), "{}: {}", reply.status, reply.text());
    reply.status == 200
}

#[tokio::test]
async fn a_client_known_by_its_document_signs_in_and_cannot_be_impersonated() {
    let (site, upstream) = (Site::start().await, Upstream::start().await);
    let app = edge(&site, &upstream, &format!("{{ internal_hosts: [\"{}\"] }}", site.host())).await;
    let key = Ed25519KeyPair::generate().unwrap();
    let id = format!("{}/client.json", site.url);
    site.publish(
        "/client.json",
        &json!({
            "client_id": id, "client_name": "Signing client", "redirect_uris": [REDIRECT],
            "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "EdDSA",
            "jwks_uri": format!("{}/jwks.json", site.url),
        }),
    );
    site.publish("/jwks.json", &json!({ "keys": [jwk(&key, "one")] }));
    let mut client = Client::discover(&app, "echo").await;
    client.id.clone_from(&id);
    let mut person = app.person.clone();
    let code = client.code(&mut person).await;
    let issuer = client.metadata["issuer"].as_str().unwrap().to_owned();

    let bare = client.exchange(&code, &[]).await;
    assert_eq!(
        (bare.status, bare.json()["error"].as_str()),
        (401, Some("invalid_client")),
        "{}",
        bare.text()
    );
    let thief = Ed25519KeyPair::generate().unwrap();
    let forged = assertion(&thief, "one", &id, &issuer, "forged");
    let signed = |assertion: &str| {
        [("client_assertion_type", ASSERTION_TYPE.to_owned()), ("client_assertion", assertion.to_owned())]
    };
    let exchange = async |assertion: &str| {
        let fields = signed(assertion);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        client.exchange(&code, &fields).await
    };
    assert_eq!(exchange(&forged).await.status, 401);
    let good = assertion(&key, "one", &id, &issuer, "first");
    let tokens = Tokens::of(&exchange(&good).await);
    assert!(is_admitted(&app, &tokens.access).await);
    // The assertion is spent, at every endpoint.
    let refresh = async |assertion: &str| -> Reply {
        let fields = signed(assertion);
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", tokens.refresh.as_str())];
        form.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
        client.http.post_form(&client.endpoint("token"), &form).await
    };
    assert_eq!(refresh(&good).await.status, 401);
    assert_eq!(
        Tokens::of(&refresh(&assertion(&key, "one", &id, &client.endpoint("token"), "second")).await)
            .access
            .len(),
        56
    );
    assert_eq!(site.asked(), ["/client.json", "/jwks.json"], "each was fetched once");
    app.verify();
}

#[tokio::test]
async fn a_document_on_a_private_address_is_fetched_for_nobody() {
    let (site, upstream) = (Site::start().await, Upstream::start().await);
    let app = edge(&site, &upstream, "{}").await;
    let mut client = Client::discover(&app, "echo").await;
    client.id = format!("{}/client.json", site.url);
    let reply = client.http.get(&client.authorization(&[])).await.unwrap();
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("no public address"), "{}", reply.text());
    let port = site.host().rsplit_once(':').unwrap().1;
    for other in ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"]
    {
        client.id = format!("https://{other}:{port}/client.json");
        assert_eq!(client.http.get(&client.authorization(&[])).await.unwrap().status, 400, "{other}");
    }
    assert_eq!(site.asked(), [""; 0], "nothing was connected to");
}

#[tokio::test]
async fn a_new_client_waits_for_an_administrator_and_a_blocked_one_is_out_at_once() {
    let (site, upstream) = (Site::start().await, Upstream::start().await);
    let mut app = edge(&site, &upstream, "{ cimd: approval, dynamic: approval }").await;
    let client = Client::discover(&app, "echo").await;
    let page = client.http.get(&client.authorization(&[])).await.unwrap();
    assert_eq!(page.status, 403);
    assert!(page.text().contains("waiting for an administrator"), "{}", page.text());
    let pending = app.admin(&["client", "list", "--pending", "--json"]);
    let ids: Vec<_> = pending["clients"].as_array().unwrap().iter().map(|c| c["client_id"].clone()).collect();
    assert_eq!(ids, [client.id.as_str()]);
    assert_eq!(client.exchange("ptn_ac_x", &[]).await.json()["error"], "invalid_client");

    app.admin(&["client", "approve", &client.id, "--json"]);
    // Registration and approval are still there after a crash.
    app.kill();
    app.restart().await;
    let mut person = app.person.clone();
    let tokens = client.tokens(&mut person).await;
    assert!(is_admitted(&app, &tokens.access).await);
    assert_eq!(app.admin(&["client", "list", "--pending", "--json"])["clients"], json!([]));

    app.admin(&["client", "block", &client.id, "--json"]);
    assert!(!is_admitted(&app, &tokens.access).await, "the very next call is refused");
    assert_eq!(client.refresh(&tokens.refresh).await.json()["error"], "invalid_client");
    assert_eq!(client.http.get(&client.authorization(&[])).await.unwrap().status, 400);
    let done: Vec<_> = app.records().iter().filter_map(|r| r["action"].as_str().map(str::to_owned)).collect();
    for action in ["client.registered", "client.approved", "client.blocked", "grant.revoked"] {
        assert!(done.iter().any(|done| done == action), "{action} is not in {done:?}");
    }
    app.verify();
}

#[tokio::test]
async fn clients_of_the_configuration_follow_it() {
    let upstream = Upstream::start().await;
    let entry = "clients:\n  - { id: console, name: Console, redirect_uris: [\"http://127.0.0.1:43119/callback\"] }\n";
    let rules = "client_registration: { dynamic: off, cimd: listed }\n";
    let app = App::serve_as(
        &server_at("echo", &upstream.url),
        PERMIT,
        |_, configuration| format!("{configuration}{rules}{entry}"),
        &[],
    )
    .await;
    let http = app.http();
    let metadata =
        http.get(&format!("{}/.well-known/oauth-authorization-server", app.url)).await.unwrap().json();
    assert!(metadata.get("registration_endpoint").is_none());
    let refused =
        http.post_json(&format!("{}/oauth/register", app.url), &json!({ "redirect_uris": [REDIRECT] })).await;
    assert_eq!((refused.status, refused.json()["error"].as_str()), (403, Some("access_denied")));
    let client = Client { http, id: "console".to_owned(), resource: app.mcp_url("echo"), metadata };
    let mut person = app.person.clone();
    let tokens = client.tokens(&mut person).await;
    assert!(is_admitted(&app, &tokens.access).await);
    // Out of the file, out of the house.
    let text = std::fs::read_to_string(app.config_file()).unwrap();
    std::fs::write(app.config_file(), text.replace(entry, "")).unwrap();
    until("the client is gone", Duration::from_secs(30), async || {
        (!is_admitted(&app, &tokens.access).await).then_some(())
    })
    .await;
}

#[tokio::test]
async fn two_hundred_refreshes_at_once_give_one_new_generation() {
    let upstream = Upstream::start().await;
    let app = App::serve(&server_at("echo", &upstream.url), PERMIT).await;
    let client = Arc::new(Client::discover(&app, "echo").await);
    let mut person = app.person.clone();
    let tokens = client.tokens(&mut person).await;
    let tries: Vec<_> = (0..200)
        .map(|_| {
            let (client, refresh) = (client.clone(), tokens.refresh.clone());
            tokio::spawn(async move { client.refresh(&refresh).await })
        })
        .collect();
    let mut given = Vec::new();
    for one in tries {
        let reply = one.await.unwrap();
        match reply.status {
            200 => given.push(Tokens::of(&reply)),
            400 => assert_eq!(reply.json()["error"], "invalid_grant", "{}", reply.text()),
            other => panic!("{other}: {}", reply.text()),
        }
    }
    assert_eq!(given.len(), 1, "one of two hundred");
    let issued = app.records().iter().filter(|r| r["action"] == "token.refreshed").count();
    assert_eq!(issued, 1);
}

/// Runs a script of `tests/clients` with these variables; what it prints.
async fn script(
    interpreter: &'static str,
    name: &str,
    arguments: &[&Path],
    app: &App,
    more: &[(&str, &str)],
) -> String {
    let mut command = Command::new(directory().join(".venv/bin").join(interpreter));
    command
        .arg(directory().join(name))
        .args(arguments)
        .env("PORTUNUS_URL", app.mcp_url("echo"))
        .env("PORTUNUS_ISSUER", &app.url)
        .env("PORTUNUS_NODE", node())
        .env("NODE_EXTRA_CA_CERTS", app.ca_file())
        .env("SSL_CERT_FILE", app.ca_file())
        .envs(more.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let output = output.unwrap_or_else(|error| panic!("{interpreter}: {error}; run tests/clients/setup.sh"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[tokio::test]
async fn machines_of_foreign_make_get_tokens_in_their_own_name() {
    if skipped() {
        return;
    }
    let upstream = Upstream::start().await;
    let servers = server_at("echo", &upstream.url).replace("[assistant, autonomous]", "[workload]");
    let policy = "permit(principal == Workload::\"signer\", action, resource);
                  permit(principal == Workload::\"secretive\", action, resource);";
    let app = App::serve(&servers, policy).await;
    let keys: PathBuf = app.dir().join("keys");
    script("node", "machine.mjs", &[Path::new("keys"), &keys], &app, &[]).await;
    let jwks = keys.join("jwks.json");
    app.admin(&[
        "client",
        "add",
        "signer",
        "--server",
        "echo",
        "--jwks-file",
        jwks.to_str().unwrap(),
        "--json",
    ]);
    let added = app.admin(&["client", "add", "secretive", "--server", "echo", "--secret", "--json"]);
    let secret = added["client_secret"].as_str().unwrap().to_owned();
    let told =
        script("node", "machine.mjs", &[Path::new("use"), &keys], &app, &[("PORTUNUS_SECRET", &secret)])
            .await;
    println!("{told}");
    let told = script("python", "machine.py", &[&keys], &app, &[("PORTUNUS_SECRET", &secret)]).await;
    println!("{told}");
    let users: Vec<_> =
        app.records().iter().filter(|r| r["kind"] == "intent").map(|r| r["user"].clone()).collect();
    assert!(
        users.contains(&json!("workload:signer")) && users.contains(&json!("workload:secretive")),
        "{users:?}"
    );
    // Nobody's token but the machine's own: a person cannot come in where only workloads may.
    let client = Client::discover(&app, "echo").await;
    let mut person = app.person.clone();
    let back = visit(&client.http, &client.authorization(&[]), &mut person, true).await;
    let code = back.query_pairs().find(|(name, _)| name == "code").map(|(_, code)| code.into_owned());
    let tokens = Tokens::of(&client.exchange(&code.unwrap(), &[]).await);
    let refused =
        app.http().send(call(&app.mcp_url("echo"), &tokens.access, "echo", &json!({}))).await.unwrap();
    assert!(
        refused.text().contains("Clients of kind assistant may not use this server"),
        "{}",
        refused.text()
    );
    app.verify();
}
