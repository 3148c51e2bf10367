//! Client certificates of Portunus' own authority, against a real nginx that demands them and reads its revocation list.

use crate::world::{First, Judge, World};
use async_trait::async_trait;
use portunus_core::document::{CredentialKind, Issued, IssuedBy, RotationStep, TestOutcome};
use portunus_core::secret::Secret;
use portunus_core::store::list_all;
use portunus_core::time::Timestamp;
use portunus_rotate::register::Register;
use portunus_rotate::x509::{Authority, X509};
use portunus_tunnel::authority::ClientAuthority;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use std::collections::HashSet;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Long enough for a clock that a test takes days forward.
const LIFE: Duration = Duration::from_secs(10 * 86_400);

/// nginx, and whoever tells it of a new list, as an operator's path unit would.
struct Nginx {
    master: Child,
    dir: TempDir,
    port: u16,
    stopped: Arc<AtomicBool>,
    /// The list that its one worker has read.
    read: Arc<Mutex<Vec<u8>>>,
}

/// Workers of nginx, old ones that are ending included.
fn workers(master: u32) -> Vec<String> {
    let children =
        std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
    children.split_ascii_whitespace().map(str::to_owned).collect()
}

/// A self-signed certificate and its key.
fn stranger(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

impl Nginx {
    /// Not started yet: the authority's files are not there.
    fn prepare() -> (TempDir, u16) {
        let dir = tempfile::Builder::new().prefix("portunus-x509-").tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (certificate, key) = stranger("localhost");
        std::fs::write(dir.path().join("server.pem"), certificate).unwrap();
        std::fs::write(dir.path().join("server.key"), key).unwrap();
        (dir, port)
    }

    async fn start((dir, port): (TempDir, u16)) -> Self {
        let configuration = format!(
            "daemon off; worker_processes 1; pid nginx.pid; error_log error.log;\n\
             events {{}}\n\
             http {{\n\
               access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
               server {{\n\
                 listen 127.0.0.1:{port} ssl;\n\
                 ssl_certificate server.pem; ssl_certificate_key server.key;\n\
                 ssl_client_certificate client-ca.pem; ssl_crl client-ca.crl; ssl_verify_client on;\n\
                 location / {{ return 200 ok; }}\n\
               }}\n\
             }}\n"
        );
        std::fs::write(dir.path().join("nginx.conf"), configuration).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(dir.path()).args(["-e", "error.log", "-c", "nginx.conf"]);
        let master = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let master = master.expect("nginx; `make packages` installs it");
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let stopped = Arc::new(AtomicBool::new(false));
        let (told, list, pid) = (stopped.clone(), dir.path().join("client-ca.crl"), master.id());
        let read = Arc::new(Mutex::new(std::fs::read(&list).unwrap()));
        let known = read.clone();
        std::thread::spawn(move || {
            while !told.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
                let now = std::fs::read(&list).unwrap_or_default();
                if now.is_empty() || now == *known.lock().unwrap() {
                    continue;
                }
                let before = workers(pid);
                let _ = Command::new("kill").args(["-HUP", &pid.to_string()]).status();
                while !told.load(Ordering::SeqCst) {
                    let after = workers(pid);
                    if after.len() == 1 && after != before {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                *known.lock().unwrap() = now;
            }
        });
        Self { master, dir, port, stopped, read }
    }

    /// Until every worker goes by the list as it is.
    async fn settle(&self) {
        let list = self.dir.path().join("client-ca.crl");
        while std::fs::read(&list).unwrap_or_default() != *self.read.lock().unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Whether it lets this certificate in.
    async fn lets_in(&self, pem: &str) -> bool {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(self.dir.path().join("server.pem")).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
        let tls = ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key);
        let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)).await else { return false };
        let connector = TlsConnector::from(Arc::new(tls.unwrap()));
        let Ok(mut stream) = connector.connect("localhost".try_into().unwrap(), stream).await else {
            return false;
        };
        let asked = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        asked.is_ok() && answer.starts_with(b"HTTP/1.1 200 ")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Its workers end with it.
        let _ = Command::new("kill").args(["-TERM", &self.master.id().to_string()]).status();
        let _ = self.master.wait();
    }
}

/// The authority, which fails to sign when told to.
struct Own {
    authority: ClientAuthority,
    failures: AtomicUsize,
}

impl Authority for Own {
    fn certificate(&self) -> String {
        self.authority.certificate_pem()
    }
    fn issue(
        &self,
        subject: &str,
        serial: &[u8],
        life: Duration,
        now: Timestamp,
    ) -> Result<Secret<Vec<u8>>, String> {
        let fails = |left: usize| left.checked_sub(1);
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails).is_ok() {
            return Err("the process ended here".to_owned());
        }
        self.authority.client_cert(subject, serial, life, now).map_err(|error| error.to_string())
    }
    fn revocations(&self, revoked: &[(Vec<u8>, Timestamp)], now: Timestamp) -> Result<String, String> {
        self.authority.revocations(revoked, now).map_err(|error| error.to_string())
    }
}

struct Stage {
    world: World,
    judge: Upstream,
    own: Arc<Own>,
}

struct Upstream {
    nginx: Nginx,
    made: Arc<Mutex<Vec<String>>>,
    /// What was refused once is not tried again.
    dead: Mutex<HashSet<String>>,
}

#[async_trait]
impl Judge for Upstream {
    async fn works(&self, _account: Option<&str>, secret: &str) -> bool {
        self.nginx.settle().await;
        self.nginx.lets_in(secret).await
    }
    async fn live(&self) -> usize {
        self.nginx.settle().await;
        let made = self.made.lock().unwrap().clone();
        let mut live = 0;
        for secret in made.iter().filter(|secret| !self.dead.lock().unwrap().contains(*secret)) {
            if self.nginx.lets_in(secret).await {
                live += 1;
            } else {
                self.dead.lock().unwrap().insert(secret.clone());
            }
        }
        live
    }
}

async fn stage() -> Stage {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (dir, port) = Nginx::prepare();
    let start = crate::world::days_ago(5);
    let (authority, _) = ClientAuthority::create(start, &crate::world::Os).unwrap();
    let own = Arc::new(Own { authority, failures: AtomicUsize::new(0) });
    let store = crate::world::store();
    let tls = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let register = Register::new(store.clone(), IssuedBy::X509);
    let with = (Arc::new(tls), Arc::new(crate::world::Os) as Arc<dyn portunus_core::time::Rng>);
    let driver = X509::open(own.clone(), register, dir.path().to_owned(), with, start).await.unwrap();
    let (certificate, key) = stranger("by hand");
    let ca = dir.path().join("server.pem");
    let first = First {
        kind: CredentialKind::ClientCertificate,
        host: format!("localhost:{port}"),
        secret: certificate + &key,
        method: "x509",
        settings: json!({
            "url": format!("https://localhost:{port}/mcp"), "ca": ca.to_str().unwrap(), "life_seconds": LIFE.as_secs(),
        }),
        administrator: None,
        administrator_host: String::new(),
    };
    let world = World::over(store, first, Arc::new(driver), start).await;
    let made = world.made.clone();
    let nginx = Nginx::start((dir, port)).await;
    Stage { world, judge: Upstream { nginx, made, dead: Mutex::default() }, own }
}

#[tokio::test]
async fn a_certificate_is_replaced_and_the_old_one_is_refused_by_the_list() {
    let Stage { world, judge, .. } = stage().await;
    let engine = world.engine();
    for version in 2..=3 {
        let ended = world.rotate(&engine).await.unwrap().unwrap();
        assert_eq!(ended.step, RotationStep::Done, "{ended:?}");
        assert_eq!(ended.lapses.len(), 1, "its life is known, so that it is replaced in time");
        world.check(&judge).await;
        let credential = world.credential().await;
        assert_eq!(credential.in_use().unwrap().number, version);
        assert_eq!(credential.tested.unwrap().outcome, TestOutcome::Dead);
    }
    let old = world.secret_of(2);
    assert!(!judge.nginx.lets_in(&old).await);
    let list = std::fs::read_to_string(judge.nginx.dir.path().join("client-ca.crl")).unwrap();
    let serial = list_all::<Issued>(&*world.store, None).await.unwrap();
    let revoked: Vec<_> = serial.iter().filter(|one| one.value.revoked_at.is_some()).collect();
    assert_eq!((serial.len(), revoked.len()), (2, 1));
    // The list as another program reads it.
    let mut openssl = Command::new("openssl")
        .args(["crl", "-noout", "-text"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut openssl.stdin.take().unwrap(), list.as_bytes()).unwrap();
    let text = String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap().to_lowercase();
    assert!(text.contains(&revoked[0].value.serial), "{text}");
}

#[tokio::test]
async fn a_certificate_whose_making_was_interrupted_is_refused_as_well() {
    let Stage { world, judge, own } = stage().await;
    own.failures.store(2, Ordering::SeqCst);
    let ended = world.rotate(&world.engine()).await.unwrap().unwrap();
    assert_eq!(ended.step, RotationStep::Done, "{ended:?}");
    world.check(&judge).await;
    let all = list_all::<Issued>(&*world.store, None).await.unwrap();
    let good = all.iter().filter(|one| one.value.revoked_at.is_none()).count();
    assert_eq!((all.len(), good), (3, 1), "announced three times, and two of them are in the list");
}

#[tokio::test]
async fn an_authority_s_process_may_end_at_any_of_its_effects() {
    let Stage { world, judge, .. } = stage().await;
    world.kill_everywhere(&judge).await;
}

#[tokio::test]
async fn a_plan_that_could_not_work_is_refused_and_says_what_is_wrong() {
    let Stage { world, .. } = stage().await;
    let engine = world.engine();
    let credential = world.credential().await;
    let now = portunus_core::time::Clock::now(&*world.clock);
    for (setting, value, why) in [
        ("url", json!("https://elsewhere.example/"), "none of the credential's hosts"),
        ("url", json!("http://localhost/"), "https://"),
        ("life_seconds", json!(1), "life_seconds"),
        ("subject", json!(""), "subject"),
    ] {
        let mut changed = credential.clone();
        changed.rotation.as_mut().unwrap().settings.insert(setting.to_owned(), value);
        let told = engine.check(&changed, now).await.unwrap_err().to_string();
        assert!(told.contains(why), "{setting}: {told}");
    }
    let mut changed = credential;
    changed.kind = CredentialKind::Bearer;
    assert!(engine.check(&changed, now).await.unwrap_err().to_string().contains("client_certificate"));
}
