//! SSH user certificates, against a real sshd that trusts Portunus' authority and reads its list of revoked ones.

use crate::world::{First, Judge, Os, World, days_ago};
use async_trait::async_trait;
use portunus_core::document::{CredentialKind, IssuedBy, RotationStep, TestOutcome};
use portunus_core::secret::Secret;
use portunus_core::time::{Clock, Rng, Timestamp};
use portunus_rotate::register::Register;
use portunus_rotate::ssh::Ssh;
use portunus_ssh::authority::Said;
use portunus_ssh::{UserAuthority, identity};
use serde_json::json;
use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LIFE: Duration = Duration::from_secs(10 * 86_400);

fn run(program: &str, words: &[&str]) -> String {
    let output =
        Command::new(program).args(words).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn key(path: &Path) -> String {
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path.to_str().unwrap()]);
    std::fs::read_to_string(path).unwrap()
}

/// A directory with an authority, and what sshd needs besides.
struct Ground {
    dir: TempDir,
    port: u16,
    user: String,
    authority: Arc<UserAuthority>,
}

impl Ground {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("portunus-ssh-").tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        key(&dir.path().join("host"));
        let host = std::fs::read_to_string(dir.path().join("host.pub")).unwrap();
        std::fs::write(dir.path().join("known_hosts"), format!("[localhost]:{port} {host}")).unwrap();
        let mut seed = [0; 32];
        Os.fill(&mut seed);
        let authority = Arc::new(UserAuthority::new(&Secret::new(seed)).unwrap());
        let user = run("id", &["-un"]).trim().to_owned();
        Self { dir, port, user, authority }
    }
    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }
}

/// sshd, for the user who runs the tests.
struct Sshd {
    ground: Ground,
    server: Child,
}

impl Sshd {
    async fn start(ground: Ground) -> Self {
        let configuration = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {}\nTrustedUserCAKeys {}\nRevokedKeys {}\nAuthorizedKeysFile {}\n\
             PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nLogLevel VERBOSE\nKexAlgorithms curve25519-sha256\n",
            ground.port,
            ground.path("host"),
            ground.path("ssh-ca.pub"),
            ground.path("ssh-ca.krl"),
            ground.path("authorized_keys"),
        );
        std::fs::write(ground.path("sshd_config"), configuration).unwrap();
        // Where it is root, it wants this place, which a service manager would make.
        let _ = std::fs::create_dir_all("/run/sshd");
        let mut command = Command::new("/usr/sbin/sshd");
        // -r: without starting itself anew for each connection, of which the tests make hundreds.
        command.args(["-D", "-e", "-r", "-f", &ground.path("sshd_config")]);
        let log = std::fs::File::create(ground.path("log")).unwrap();
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let server = server.expect("sshd; `make packages` installs it");
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", ground.port)).await.is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "{}",
                std::fs::read_to_string(ground.path("log")).unwrap()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self { ground, server }
    }

    /// Whether it lets this identity in, as OpenSSH's client with plain files finds.
    async fn lets_in(&self, text: &str) -> bool {
        let place = tempfile::tempdir().unwrap();
        let end = "-----END OPENSSH PRIVATE KEY-----\n";
        let at = text.find(end).unwrap() + end.len();
        let (private, certificate) = text.split_at(at);
        let file = place.path().join("key");
        std::fs::write(&file, private).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut command = tokio::process::Command::new("ssh");
        command.args([
            "-F",
            "none",
            "-T",
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "IdentityAgent=none",
        ]);
        command.arg("-o").arg(format!("UserKnownHostsFile={}", self.ground.path("known_hosts")));
        if !certificate.trim().is_empty() {
            std::fs::write(place.path().join("key-cert.pub"), certificate).unwrap();
        }
        command.arg("-i").arg(&file).args(["-p", &self.ground.port.to_string(), "-l", &self.ground.user]);
        let done = command.args(["localhost", "true"]).stdin(Stdio::null()).output().await.unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success() || said.contains("Permission denied"), "{said}");
        done.status.success()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

struct Upstream {
    sshd: Sshd,
    made: Arc<Mutex<Vec<String>>>,
    /// What was refused once is not tried again.
    dead: Mutex<HashSet<String>>,
    /// What was let in, under which list: neither is that tried again.
    alive: Mutex<HashSet<(String, Vec<u8>)>>,
}

#[async_trait]
impl Judge for Upstream {
    async fn works(&self, _account: Option<&str>, secret: &str) -> bool {
        if self.dead.lock().unwrap().contains(secret) {
            return false;
        }
        let list = std::fs::read(self.sshd.ground.path("ssh-ca.krl")).unwrap();
        let under = (secret.to_owned(), list);
        if self.alive.lock().unwrap().contains(&under) {
            return true;
        }
        let works = self.sshd.lets_in(secret).await;
        if works {
            self.alive.lock().unwrap().insert(under);
        } else {
            self.dead.lock().unwrap().insert(secret.to_owned());
        }
        works
    }
    async fn live(&self) -> usize {
        let made = self.made.lock().unwrap().clone();
        let mut live = 0;
        for secret in made {
            live += usize::from(self.works(None, &secret).await);
        }
        live
    }
}

async fn stage() -> (World, Upstream) {
    let ground = Ground::new();
    let start = days_ago(5);
    let store = crate::world::store();
    let register = Register::new(store.clone(), IssuedBy::Ssh);
    let directory = ground.dir.path().to_owned();
    let driver = Ssh::open(ground.authority.clone(), register, directory, Arc::new(Os), start).await.unwrap();
    let host = format!("localhost:{}", ground.port);
    let first = First {
        kind: CredentialKind::Ssh(ground.user.clone()),
        host: host.clone(),
        secret: key(&ground.dir.path().join("by-hand")),
        method: "ssh",
        settings: json!({ "host": host, "known_hosts": ground.path("known_hosts"), "life_seconds": LIFE.as_secs() }),
        administrator: None,
        administrator_host: String::new(),
    };
    let world = World::over(store, first, Arc::new(driver), start).await;
    let made = world.made.clone();
    let sshd = Sshd::start(ground).await;
    (world, Upstream { sshd, made, dead: Mutex::default(), alive: Mutex::default() })
}

#[tokio::test]
async fn an_ssh_key_is_replaced_by_one_with_a_certificate_and_revoked_ones_are_refused() {
    let (world, judge) = stage().await;
    // The key that was there before may log in until it is taken out by hand.
    let by_hand = std::fs::read_to_string(judge.sshd.ground.path("by-hand.pub")).unwrap();
    std::fs::write(judge.sshd.ground.path("authorized_keys"), by_hand).unwrap();
    assert!(judge.sshd.lets_in(&world.secret_of(1)).await);
    let engine = world.engine();
    engine.begin(&world.name, "ana", world.clock.now()).await.unwrap();
    let mut alive = false;
    for _ in 0..200 {
        let next = engine.step(&world.name, world.clock.now()).await.unwrap();
        match next {
            portunus_vault::rotation::Next::Stumbled { why, .. } if why.contains("by hand") => {
                alive = true;
                break;
            }
            portunus_vault::rotation::Next::At(moment)
            | portunus_vault::rotation::Next::Stumbled { at: moment, .. } => {
                world.clock.advance(moment.since(world.clock.now()));
            }
            _ => {}
        }
    }
    assert!(alive, "an old key that still works is said to be alive");
    std::fs::remove_file(judge.sshd.ground.path("authorized_keys")).unwrap();
    let ended = world.finish(&engine).await.unwrap().unwrap();
    assert_eq!(ended.step, RotationStep::Done, "{ended:?}");
    world.check(&judge).await;
    let ended = world.rotate(&engine).await.unwrap().unwrap();
    assert_eq!(ended.step, RotationStep::Done, "{ended:?}");
    world.check(&judge).await;
    assert_eq!(world.credential().await.tested.unwrap().outcome, TestOutcome::Dead);
    let log = std::fs::read_to_string(judge.sshd.ground.path("log")).unwrap();
    assert!(log.contains("crm/2") && log.contains("crm/3"), "its log says which version logged in: {log}");
    assert!(log.contains("revoked by file"), "and that the old one is in the list: {log}");
    // As OpenSSH's own tool reads both.
    let place = tempfile::tempdir().unwrap();
    for (version, revoked) in [(2, true), (3, false)] {
        let file = place.path().join("cert.pub");
        let text = world.secret_of(version);
        std::fs::write(&file, text.lines().last().unwrap()).unwrap();
        let output = Command::new("ssh-keygen")
            .args(["-Q", "-f", &judge.sshd.ground.path("ssh-ca.krl")])
            .arg(&file)
            .output()
            .unwrap();
        assert_eq!(output.status.success(), !revoked, "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[tokio::test]
async fn an_ssh_certificate_is_refused_once_its_life_is_over_and_for_any_other_user() {
    let ground = Ground::new();
    std::fs::write(ground.path("ssh-ca.pub"), ground.authority.public_line()).unwrap();
    let real = days_ago(0);
    std::fs::write(ground.path("ssh-ca.krl"), ground.authority.revocations(&[], 1, real)).unwrap();
    let made = |user: &str, end: Timestamp| {
        let seed = Secret::new([7; 32]);
        let said = Said {
            serial: 5,
            key_id: "test",
            principals: &[user],
            valid_after: Timestamp::from_secs(real.as_secs() - 300),
            valid_before: end,
            source_address: Some("127.0.0.0/8,::1"),
            extensions: &["permit-pty"],
        };
        let line = ground.authority.certify(&identity::public_of(&seed).unwrap(), &[1; 32], &said);
        String::from_utf8(identity::write(&seed, [2; 4], &line).unwrap().expose().clone()).unwrap()
    };
    let life = Duration::from_secs(20);
    let (user, begun) = (ground.user.clone(), Instant::now());
    let (good, soon_over) = (made(&user, real.plus(Duration::from_secs(600))), made(&user, real.plus(life)));
    let other = made("nobody-else", real.plus(Duration::from_secs(600)));
    let certificate = good.lines().last().unwrap().to_owned();
    std::fs::write(ground.path("shown.pub"), certificate).unwrap();
    let shown = run("ssh-keygen", &["-L", "-f", &ground.path("shown.pub")]);
    assert!(
        shown.contains("Serial: 5")
            && shown.contains("source-address 127.0.0.0/8,::1")
            && shown.contains("permit-pty"),
        "{shown}"
    );
    let sshd = Sshd::start(ground).await;
    assert!(sshd.lets_in(&good).await, "{}", std::fs::read_to_string(sshd.ground.path("log")).unwrap());
    assert!(!sshd.lets_in(&other).await);
    let before = begun.elapsed() < life / 2;
    assert!(!before || sshd.lets_in(&soon_over).await, "it is good until its end");
    while begun.elapsed() <= life + Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!sshd.lets_in(&soon_over).await, "expired");
    std::fs::write(sshd.ground.path("ssh-ca.krl"), sshd.ground.authority.revocations(&[4, 5, 6], 2, real))
        .unwrap();
    assert!(!sshd.lets_in(&good).await, "revoked, at the very next log-in");
}

#[tokio::test]
async fn a_process_that_makes_ssh_certificates_may_end_before_any_of_its_effects() {
    let (world, judge) = stage().await;
    world.kill_each(&judge, &[false]).await;
}

#[tokio::test]
async fn a_process_that_makes_ssh_certificates_may_end_after_any_of_its_effects() {
    let (world, judge) = stage().await;
    world.kill_each(&judge, &[true]).await;
}
