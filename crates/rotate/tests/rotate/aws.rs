//! Two access keys of one IAM user, at moto's server, which checks signatures and permissions.

use crate::world::{First, Judge, World};
use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use portunus_core::document::CredentialKind;
use portunus_core::secret::Secret;
use portunus_rotate::aws::Aws;
use portunus_rotate::http::Http;
use portunus_vault::service::sigv4::{AccessKeys, Scope, sign};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Requests before signatures and permissions are checked: those of `Moto::start`.
const UNCHECKED: usize = 6;

struct Moto {
    server: Child,
    port: u16,
    http: Http,
    /// Id and secret of whoever may do everything.
    root: (String, String),
    /// The same of the user `crm`, who may ask who it is.
    first: (String, String),
}

fn http() -> Http {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let tls = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    Http::new(&Arc::new(tls))
}

impl Moto {
    async fn start() -> Self {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients/.venv-keys/bin");
        assert!(programs.join("moto_server").exists(), "there is no moto here; run `make clients`");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(programs.join("python"));
        command.arg(programs.join("moto_server")).args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        command.env("INITIAL_NO_AUTH_ACTION_COUNT", UNCHECKED.to_string());
        let server =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let nobody = (String::from("AKIANOBODY"), String::from("nothing"));
        let mut moto = Self { server, port, http: http(), root: nobody.clone(), first: nobody };
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "moto does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let policy = |actions: &str| {
            format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":{actions},"Resource":"*"}}]}}"#
            )
        };
        let rotate = policy(
            r#"["iam:ListAccessKeys","iam:CreateAccessKey","iam:UpdateAccessKey","iam:DeleteAccessKey"]"#,
        );
        moto.root = moto.user("rotator", &rotate).await;
        moto.first = moto.user("crm", &policy(r#"["sts:GetCallerIdentity"]"#)).await;
        moto
    }

    /// Three requests that are not checked.
    async fn user(&self, name: &str, policy: &str) -> (String, String) {
        let nobody = self.root.clone();
        self.ask(&nobody, "iam", &format!("Action=CreateUser&UserName={name}")).await;
        let policy: String = url::form_urlencoded::byte_serialize(policy.as_bytes()).collect();
        let put = format!("Action=PutUserPolicy&UserName={name}&PolicyName=all&PolicyDocument={policy}");
        self.ask(&nobody, "iam", &put).await;
        let (status, body) =
            self.ask(&nobody, "iam", &format!("Action=CreateAccessKey&UserName={name}")).await;
        assert_eq!(status, 200, "{body}");
        (value(&body, "AccessKeyId"), value(&body, "SecretAccessKey"))
    }

    async fn ask(&self, key: &(String, String), service: &str, form: &str) -> (u16, String) {
        let host = format!("127.0.0.1:{}", self.port);
        let version = if service == "iam" { "2010-05-08" } else { "2011-06-15" };
        let mut request = Request::post(format!("http://{host}/"))
            .header("host", &host)
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(format!("{form}&Version={version}").into_bytes())
            .unwrap();
        let keys = AccessKeys { id: key.0.clone(), secret: Secret::new(key.1.clone()), session_token: None };
        sign(&mut request, &keys, Scope { region: "us-east-1", service }, crate::world::NOW).unwrap();
        let answer = self.http.send(request.map(|body| Full::new(Bytes::from(body)))).await.unwrap();
        (answer.status.as_u16(), String::from_utf8(answer.body.expose().clone()).unwrap())
    }

    async fn world(&self, changes: serde_json::Value) -> World {
        let host = format!("127.0.0.1:{}", self.port);
        let address = format!("http://{host}");
        let mut settings = json!({
            "user": "crm", "access_key_id": self.first.0, "iam": address, "sts": address, "admin": "admin",
        });
        settings.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        settings.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let first = First {
            kind: CredentialKind::Environment("AWS_SECRET_ACCESS_KEY".to_owned()),
            host: "s3.amazonaws.com".to_owned(),
            secret: self.first.1.clone(),
            method: "aws-access-key",
            settings,
            administrator: Some(self.root.clone()),
            administrator_host: host,
        };
        World::new(first, Arc::new(Aws::new(http()))).await
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn value(xml: &str, name: &str) -> String {
    let after = xml.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {xml}")).1;
    after.split_once('<').unwrap().0.to_owned()
}

#[async_trait]
impl Judge for Moto {
    async fn works(&self, account: Option<&str>, secret: &str) -> bool {
        let id = account.unwrap_or(&self.first.0).to_owned();
        self.ask(&(id, secret.to_owned()), "sts", "Action=GetCallerIdentity").await.0 == 200
    }
    async fn live(&self) -> usize {
        let (status, body) = self.ask(&self.root, "iam", "Action=ListAccessKeys&UserName=crm").await;
        assert_eq!(status, 200, "{body}");
        body.matches("<AccessKeyId>").count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_access_keys_take_turns_wherever_the_process_is_killed() {
    let moto = Moto::start().await;
    assert!(moto.works(None, &moto.first.1).await);
    assert!(!moto.works(None, "another secret").await, "signatures are checked");
    let world = moto.world(json!({})).await;
    world.kill_everywhere(&moto).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_for_access_keys_that_is_wrong_or_forbidden_changes_nothing() {
    let moto = Moto::start().await;
    for (changes, says) in [
        (json!({ "user": null }), "settings.user"),
        (json!({ "user": "crm&Action=DeleteUser" }), "settings.user"),
        (json!({ "access_key_id": null }), "settings.access_key_id"),
        (json!({ "region": "us east" }), "settings.region"),
        (json!({ "iam": "http://iam.example.com" }), "https://"),
        (json!({ "iam": "https://iam.example.com" }), "may go to"),
    ] {
        let world = moto.world(changes).await;
        let error = world.rotate(&world.engine()).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let world = moto.world(json!({ "user": "nobody" })).await;
    let engine = world.engine();
    let begun = engine.begin(&world.name, "ana", crate::world::NOW).await.unwrap();
    let next = engine.step(&world.name, begun.started_at).await.unwrap();
    assert!(format!("{next:?}").contains("NoSuchEntity"), "{next:?}");
    assert!(moto.works(None, &moto.first.1).await);
    assert_eq!(moto.live().await, 1);
}
