//! The sealing key's file.

use crate::support::Os;
use portunus_vault::{KeyError, SealingKey};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff";
const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv8=";

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn hexadecimal_and_base64_give_the_same_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sealing.key");
    write(&path, HEX, 0o600);
    let setting = SealingKey::load(&path).unwrap().seal_setting("ca", b"value", &Os).unwrap();
    for text in [
        format!("{HEX}\n"),
        HEX.to_uppercase(),
        format!(" {BASE64}\r\n"),
        BASE64.trim_end_matches('=').to_owned(),
    ] {
        write(&path, &text, 0o600);
        let key = SealingKey::load(&path).unwrap();
        assert_eq!(key.open_setting(&setting).unwrap().expose(), b"value", "{text:?}");
    }
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sealing.key");
    for mode in [0o640, 0o604, 0o660, 0o644, 0o620, 0o601] {
        write(&path, HEX, mode);
        assert!(matches!(SealingKey::load(&path), Err(KeyError::OthersMayRead { .. })), "{mode:o}");
        assert!(matches!(SealingKey::load_or_create(&path, &Os), Err(KeyError::OthersMayRead { .. })));
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn what_is_no_key_is_refused_and_never_replaced_or_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sealing.key");
    for text in [
        "",
        "\n",
        "hunter2",
        &HEX[2..],
        &format!("{HEX}00"),
        &format!("{HEX}{HEX}{HEX}{HEX}"),
        &"z".repeat(64),
        &"!".repeat(44),
    ] {
        write(&path, text, 0o600);
        let error = SealingKey::load_or_create(&path, &Os).unwrap_err();
        assert!(matches!(error, KeyError::Malformed { .. }), "{text:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_missing_key_is_made_once_for_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sealing.key");
    let error = SealingKey::load(&path).unwrap_err();
    assert!(error.to_string().contains("openssl rand -hex 32"), "{error}");
    let keys: Vec<SealingKey> = std::thread::scope(|scope| {
        let tries: Vec<_> =
            (0..8).map(|_| scope.spawn(|| SealingKey::load_or_create(&path, &Os).unwrap())).collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let setting = keys[0].seal_setting("ca", b"value", &Os).unwrap();
    for key in &keys {
        assert!(key.open_setting(&setting).is_ok(), "all that tried at once have the same key");
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, ["sealing.key"], "no draft is left");
    let again = SealingKey::load_or_create(&path, &Os).unwrap();
    assert!(again.open_setting(&setting).is_ok());
}

#[test]
fn a_directory_that_is_not_there_is_said_to_be_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let error = SealingKey::load_or_create(&directory.path().join("none/sealing.key"), &Os).unwrap_err();
    assert!(
        matches!(&error, KeyError::Io { error, .. } if error.kind() == std::io::ErrorKind::NotFound),
        "{error}"
    );
}
