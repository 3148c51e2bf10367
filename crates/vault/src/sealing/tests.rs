use super::*;
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use std::sync::atomic::{AtomicU64, Ordering};

struct Count(AtomicU64);
impl Rng for Count {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let block = digest::sha256(&[&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes()]).0;
            chunk.iter_mut().zip(block).for_each(|(to, from)| *to = from);
        }
    }
}

fn rng() -> Count {
    Count(AtomicU64::new(0))
}
fn key(byte: u8) -> SealingKey {
    SealingKey::new(Secret::new([byte; 32]))
}
fn context(name: &str, version: u32, kind: &CredentialKind, server: &str, host: &str) -> Context {
    let name = CredentialName::parse(name).unwrap();
    Context::credential(&name, version, kind, &ServerName::parse(server).unwrap(), &[host.to_owned()])
}
fn usual() -> Context {
    context("db", 1, &CredentialKind::Bearer, "sales", "a.example")
}

/// Made by another program from the description of format 1, for `usual()` and for the setting `ca`.
const CREDENTIAL_1: &str = "AWNjJtXJ+ro/bm9uY2UtMS1hYmNk2BA1P+7gZlFn3lw5NdBOsGG7un8lwj6d8Iorv6R4xdeD21jmrihR2+jaLYjAaEnSylh9GtC+bpE95CjHwvdl2P/VRf/1Mjnqlo30M4G7ec5ub25jZS0yLWFiY2Qyq7D3M1FIrCb8AYOw5Rm/bwXw4p+a";
const SETTING_1: &str = "AWNjJtXJ+ro/bm9uY2UtMS1hYmNk2BA1P+7gZlFn3lw5NdBOsGG7un8lwj6d8Iorv6R4xdfdPwA3jThwW0l+hzZMsr+0ylh9GtC+bpE95CjHwvdl2P/VRf/1Mjnqlo30M4G7ec5ub25jZS0yLWFiY2Qgu6ftOVcb56joeOrPoQGlbo5/He7yPVn6";

#[test]
fn format_1_is_still_read_and_rewrapped_as_it_is() {
    let setting = |value: &str| Setting { name: String::from("ca"), value: value.to_owned() };
    assert_eq!(open(&key(1), &usual(), CREDENTIAL_1).unwrap().expose(), b"secret");
    assert_eq!(key(1).open_setting(&setting(SETTING_1)).unwrap().expose(), b"authority");
    let ring = changed(&key(1), 2);
    let parse = || Envelope::parse(CREDENTIAL_1).unwrap();
    assert_eq!(parse().rewrap(&ring, None, &rng()).unwrap_err(), SealingError::Refused);
    let other = context("db", 2, &CredentialKind::Bearer, "sales", "a.example");
    assert_eq!(parse().rewrap(&ring, Some(&other), &rng()).unwrap_err(), SealingError::Refused);
    let rewrapped = parse().rewrap(&ring, Some(&usual()), &rng()).unwrap();
    assert_eq!(rewrapped.len(), CREDENTIAL_1.len());
    assert!(same(&rewrapped, CREDENTIAL_1));
    assert_eq!(open(&key(2), &usual(), &rewrapped).unwrap().expose(), b"secret");
    assert_eq!(open(&key(1), &usual(), &rewrapped).unwrap_err(), SealingError::OtherKey);
}

#[test]
fn rewrapping_changes_the_wrapped_key_alone() {
    let sealed = seal(&key(1), &usual(), b"secret", &rng()).unwrap();
    let ring = changed(&key(1), 2);
    let rewrapped = Envelope::parse(&sealed).unwrap().rewrap(&ring, None, &rng()).unwrap();
    assert_eq!(rewrapped.len(), sealed.len(), "it takes the old one's place in a document");
    let (before, after) = (blob(&sealed), blob(&rewrapped));
    for (part, stays) in [(0..8, false), (8..40, true), (40..52, false), (52..100, false), (100..166, true)] {
        assert_eq!(before[part.clone()] == after[part.clone()], stays, "{part:?}");
    }
    assert!(same(&sealed, &rewrapped));
    assert!(!same(&sealed, &seal(&key(1), &usual(), b"secret", &Count(AtomicU64::new(99))).unwrap()));
    assert_eq!(open(&key(2), &usual(), &rewrapped).unwrap().expose(), b"secret");
    // Whoever moves it in the store gets nothing rewrapped that opens there.
    let elsewhere = context("db", 2, &CredentialKind::Bearer, "sales", "a.example");
    assert_eq!(open(&ring, &elsewhere, &rewrapped).unwrap_err(), SealingError::Refused);
}

/// The key with a new epoch that seals.
fn changed(before: &SealingKey, byte: u8) -> SealingKey {
    let ring = SealingKey::of(Kek::clone(&before.current()));
    let next = Kek::new(Secret::new([byte; 32]));
    let id = next.id();
    ring.accept(next);
    ring.switch(id);
    ring
}
fn blob(sealed: &str) -> Vec<u8> {
    BASE64.decode(sealed.strip_prefix(WORD).unwrap().as_bytes()).unwrap()
}
fn text(blob: &[u8]) -> String {
    format!("{WORD}{}", BASE64.encode(blob))
}

#[test]
fn a_value_moved_to_another_name_version_kind_server_or_host_does_not_open() {
    let sealed = seal(&key(1), &usual(), b"secret", &rng()).unwrap();
    assert_eq!(open(&key(1), &usual(), &sealed).unwrap().expose(), b"secret");
    let header = CredentialKind::Header("authorization".to_owned());
    let bearer = CredentialKind::Bearer;
    for (what, other) in [
        ("name", context("db2", 1, &bearer, "sales", "a.example")),
        ("version", context("db", 2, &bearer, "sales", "a.example")),
        ("kind", context("db", 1, &header, "sales", "a.example")),
        ("server", context("db", 1, &bearer, "sale", "a.example")),
        ("host", context("db", 1, &bearer, "sales", "a.example:8443")),
        ("purpose", Context::setting("db")),
    ] {
        assert_eq!(open(&key(1), &other, &sealed).unwrap_err(), SealingError::Refused, "{what}");
    }
}

#[test]
fn no_two_contexts_have_the_same_bytes() {
    let header = |name: &str| CredentialKind::Header(name.to_owned());
    let contexts = [
        context("a", 1, &header("x"), "b", "c"),
        context("a", 1, &header("xb"), "b", "c"),
        context("a1", 1, &header("x"), "b", "c"),
        context("a", 11, &header("x"), "b", "c"),
        context("a", 1, &header("x"), "bc", "c"),
        context("a", 1, &header("x"), "b", "bc"),
        context("a", 1, &CredentialKind::Bearer, "b", "c"),
        Context::setting("a"),
        Context::setting("a1"),
    ];
    let distinct: std::collections::BTreeSet<&[u8]> = contexts.iter().map(|one| one.0.as_slice()).collect();
    assert_eq!(distinct.len(), contexts.len());
}

#[test]
fn another_sealing_key_is_named_as_the_reason() {
    let sealed = seal(&key(1), &usual(), b"secret", &rng()).unwrap();
    assert_eq!(open(&key(2), &usual(), &sealed).unwrap_err(), SealingError::OtherKey);
    // Even when somebody writes the other key's id into the value.
    let mut blob = blob(&sealed);
    blob[..8].copy_from_slice(&key(2).current().id().0);
    assert_eq!(open(&key(2), &usual(), &text(&blob)).unwrap_err(), SealingError::Refused);
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let sealed = seal(&key(1), &usual(), b"secret", &rng()).unwrap();
    let blob = blob(&sealed);
    for bit in 0..blob.len() * 8 {
        let mut changed = blob.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&key(1), &usual(), &text(&changed)).is_err(), "bit {bit}");
    }
    for end in 0..blob.len() {
        assert!(open(&key(1), &usual(), &text(&blob[..end])).is_err(), "cut at {end}");
    }
    let rest = &sealed[WORD.len()..];
    for text in ["", "A", WORD, rest, "====", "not base64!", &format!("{sealed}\n"), &format!("{sealed}AAAA")]
    {
        assert!(open(&key(1), &usual(), text).is_err(), "{text:?}");
    }
}

/// GCM opens this ciphertext with the wrapped key: only the commitment tells that it is not the one that was used.
#[test]
fn a_data_key_without_its_commitment_is_refused() {
    let (key, context, rng, other) = (key(1), usual(), rng(), [9_u8; KEY]);
    let mut forged = Envelope {
        context: Some(context.digest()),
        key: key.current().id(),
        wrapped: Vec::new(),
        committed: commitment(&other).to_vec(),
        content: encrypt(&other, context.content(Format::Two), b"forged", &rng).unwrap(),
    };
    forged.wrapped = encrypt(key.current().bytes(), forged.wrapping(None).unwrap(), &other, &rng).unwrap();
    assert_eq!(open(&key, &context, &forged.text()).unwrap().expose(), b"forged");
    forged.committed = commitment(&[8; KEY]).to_vec();
    assert_eq!(open(&key, &context, &forged.text()).unwrap_err(), SealingError::Refused);
}

#[test]
fn the_two_layers_cannot_stand_in_for_each_other() {
    let sealed = Envelope::parse(&seal(&key(1), &usual(), b"secret", &rng()).unwrap()).unwrap();
    let (wrapping, content) = (sealed.wrapping(None).unwrap(), usual().content(Format::Two));
    assert_ne!(wrapping.as_ref(), content.as_ref());
    let sealed = encrypt(&[1; KEY], wrapping, &[7; KEY], &rng()).unwrap();
    assert!(decrypt(&[1; KEY], content, &sealed).is_err());
}

#[test]
fn sealing_twice_gives_two_texts_that_share_no_key() {
    let rng = rng();
    let first = blob(&seal(&key(1), &usual(), b"secret", &rng).unwrap());
    let second = blob(&seal(&key(1), &usual(), b"secret", &rng).unwrap());
    for part in [40..52, 52..100, 100..132, 132..144, 144..166] {
        assert_ne!(first[part.clone()], second[part]);
    }
}

#[test]
fn what_would_not_fit_a_document_is_refused() {
    let setting = key(1).seal_setting("ca", &vec![b'x'; PLAIN_BYTES], &rng()).unwrap();
    assert!(setting.value.len() < DOCUMENT_BYTES * 3 / 4);
    let longer = key(1).seal_setting("ca", &vec![b'x'; PLAIN_BYTES + 1], &rng());
    assert_eq!(longer.unwrap_err(), SealingError::TooLong);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_was_sealed_comes_back(plain in proptest::collection::vec(any::<u8>(), 0..2000), name in ".{0,40}") {
        let mut setting = key(3).seal_setting(&name, &plain, &rng()).unwrap();
        let opened = key(3).open_setting(&setting).unwrap();
        prop_assert_eq!(opened.expose(), &plain);
        setting.name.push('x');
        prop_assert_eq!(key(3).open_setting(&setting).unwrap_err(), SealingError::Refused);
    }

    #[test]
    fn rubbish_never_opens_and_never_panics(blob in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(open(&key(1), &usual(), &BASE64.encode(&blob)).is_err());
        prop_assert!(open(&key(1), &usual(), &text(&blob)).is_err());
    }
}
