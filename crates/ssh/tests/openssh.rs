//! Against OpenSSH's own tools: what they write is read, what is written they read, and they sign through the agent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use portunus_core::secret::Secret;
use portunus_core::testing::CountingRng;
use portunus_core::time::Timestamp;
use portunus_ssh::authority::Said;
use portunus_ssh::identity::{self, IdentityError};
use portunus_ssh::{Agent, Identity, UserAuthority};
use std::path::Path;
use std::process::{Output, Stdio};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

async fn run(program: &str, words: &[&str], socket: Option<&Path>) -> Output {
    let mut command = Command::new(program);
    command.args(words).env_remove("SSH_AUTH_SOCK").stdin(Stdio::null());
    if let Some(socket) = socket {
        command.env("SSH_AUTH_SOCK", socket);
    }
    command.output().await.unwrap_or_else(|error| panic!("{program}: {error}"))
}

async fn good(program: &str, words: &[&str], socket: Option<&Path>) -> String {
    let output = run(program, words, socket).await;
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

struct Ground(TempDir);

impl Ground {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
    async fn key(&self, name: &str, kind: &str, passphrase: &str) -> Vec<u8> {
        let path = self.path(name);
        good("ssh-keygen", &["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", &path], None).await;
        std::fs::read(path).unwrap()
    }
}

/// A certificate of another authority's key for this seed.
fn certified(seed: [u8; 32]) -> String {
    let (seed, authority) = (Secret::new(seed), UserAuthority::new(&Secret::new([9; 32])).unwrap());
    let said = Said {
        serial: 7,
        key_id: "crm/3",
        principals: &["ana", "bo"],
        valid_after: Timestamp::from_secs(1_795_000_000),
        valid_before: Timestamp::from_secs(1_795_086_400),
        source_address: None,
        extensions: &["permit-port-forwarding", "permit-pty"],
    };
    let line = authority.certify(&identity::public_of(&seed).unwrap(), &[3; 32], &said);
    String::from_utf8(identity::write(&seed, [1; 4], &line).unwrap().expose().clone()).unwrap()
}

#[tokio::test]
async fn only_an_ed25519_key_without_a_passphrase_is_read_and_a_certificate_must_be_its_own() {
    let ground = Ground::new();
    assert!(Identity::read(&ground.key("good", "ed25519", "").await).is_ok());
    let locked = ground.key("locked", "ed25519", "a passphrase").await;
    assert_eq!(Identity::read(&locked).unwrap_err(), IdentityError::Encrypted);
    let rsa = ground.key("rsa", "rsa", "").await;
    assert_eq!(Identity::read(&rsa).unwrap_err(), IdentityError::Algorithm);
    let (one, other) = (certified([1; 32]), certified([2; 32]));
    let read = Identity::read(one.as_bytes()).unwrap();
    assert_eq!(read.certificate().map(|it| (it.serial, it.valid_before)), Some((7, 1_795_086_400)));
    let foreign = format!("{}\n{}", one.rsplit_once("\nssh-").unwrap().0, other.lines().last().unwrap());
    assert_eq!(Identity::read(foreign.as_bytes()).unwrap_err(), IdentityError::Certificate);
    // Cut anywhere, or with any one byte of it changed, it is refused or another, and nothing panics.
    for end in 0..one.len() {
        let _ = Identity::read(&one.as_bytes()[..end]);
    }
    assert!(!format!("{read:?}").contains("PRIVATE"));
}

#[tokio::test]
async fn what_is_written_openssh_reads() {
    let ground = Ground::new();
    let text = certified([5; 32]);
    let at = text.find("ssh-ed25519-cert").unwrap();
    std::fs::write(ground.path("key"), &text[..at]).unwrap();
    std::fs::write(ground.path("cert.pub"), &text[at..]).unwrap();
    good("chmod", &["600", &ground.path("key")], None).await;
    let public = good("ssh-keygen", &["-y", "-f", &ground.path("key")], None).await;
    let ours = identity::public_line(&identity::public_of(&Secret::new([5; 32])).unwrap(), "portunus");
    assert_eq!(public.trim(), ours.trim());
    let shown = good("ssh-keygen", &["-L", "-f", &ground.path("cert.pub")], None).await;
    for wanted in [
        "user certificate",
        "Key ID: \"crm/3\"",
        "Serial: 7",
        "ana",
        "bo",
        "permit-pty",
        "permit-port-forwarding",
    ] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    let authority = UserAuthority::new(&Secret::new([9; 32])).unwrap();
    for (serials, revoked) in [(&[][..], false), (&[6, 8], false), (&[9, 7, 7, 1], true)] {
        std::fs::write(ground.path("krl"), authority.revocations(serials, 3, Timestamp::from_secs(1)))
            .unwrap();
        let asked =
            run("ssh-keygen", &["-Q", "-f", &ground.path("krl"), &ground.path("cert.pub")], None).await;
        assert_eq!(
            asked.status.success(),
            !revoked,
            "{serials:?}: {}",
            String::from_utf8_lossy(&asked.stdout)
        );
    }
}

#[tokio::test]
async fn an_agent_signs_and_gives_nothing_out() {
    let ground = Ground::new();
    let identity = Identity::read(&ground.key("mine", "ed25519", "").await).unwrap();
    let other = ground.key("other", "ed25519", "").await;
    let agent = Agent::start(identity, &CountingRng::default()).unwrap();
    let socket = Some(agent.socket());
    let public = std::fs::read_to_string(ground.path("mine.pub")).unwrap();
    let listed = good("ssh-add", &["-L"], socket).await;
    assert_eq!(listed.split(' ').nth(1), public.split(' ').nth(1));

    std::fs::write(ground.path("text"), "a text").unwrap();
    std::fs::remove_file(ground.path("mine")).unwrap();
    good(
        "ssh-keygen",
        &["-Y", "sign", "-n", "test", "-f", &ground.path("mine.pub"), &ground.path("text")],
        socket,
    )
    .await;
    std::fs::write(ground.path("signers"), format!("ana {public}")).unwrap();
    let verify = format!(
        "ssh-keygen -Y verify -f {} -I ana -n test -s {} < {}",
        ground.path("signers"),
        ground.path("text.sig"),
        ground.path("text")
    );
    good("sh", &["-c", &verify], None).await;

    // Keys are neither taken in nor removed, and no other key signs.
    assert!(!run("ssh-add", &[&ground.path("other")], socket).await.status.success());
    assert!(!run("ssh-add", &["-D"], socket).await.status.success());
    std::fs::remove_file(ground.path("other")).unwrap();
    let words = ["-Y", "sign", "-n", "test", "-f", &ground.path("other.pub"), &ground.path("text")];
    assert!(!run("ssh-keygen", &words, socket).await.status.success());
    assert_eq!(good("ssh-add", &["-L"], socket).await, listed);
    drop(other);

    // What is no message ends the connection, and nothing else.
    for nonsense in [&[0, 0, 0, 0][..], &[0xff; 4], &[0, 1, 0, 1, 11]] {
        let mut stream = tokio::net::UnixStream::connect(agent.socket()).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // It may be reset, since not all of the nonsense was read.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty());
    }
    let mut kept = tokio::net::UnixStream::connect(agent.socket()).await.unwrap();
    let path = agent.socket().to_owned();
    drop(agent);
    assert_eq!(kept.read(&mut [0; 1]).await.unwrap_or(0), 0, "its connections end with it");
    assert!(!path.exists() && !path.parent().unwrap().exists());
}
