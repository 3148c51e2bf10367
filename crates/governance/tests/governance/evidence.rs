use crate::support::{NOW, ago, credential, identities, usage};
use portunus_core::document::Credential;
use portunus_governance::evidence;

#[test]
fn no_document_holds_a_sealed_secret_and_each_names_every_identity() {
    let hostile = Credential { purpose: "=cmd|' /C calc'!A0, \"x\"\r\n".to_owned(), ..credential("b") };
    let found = identities(vec![credential("a"), hostile], vec![usage("a", "bo", "query", ago(1))]);
    let csv = evidence::identities_csv(&found, NOW);
    let cyclonedx = evidence::cyclonedx(&found, "00000000-0000-4000-8000-000000000000", "1", NOW).to_string();
    let ocsf = serde_json::to_string(
        &found.iter().map(|identity| evidence::ocsf_identity(identity, "1", NOW)).collect::<Vec<_>>(),
    )
    .unwrap();
    for text in [&csv, &cyclonedx, &ocsf] {
        assert!(!text.contains("sealed-text"), "{text}");
        assert!(text.contains("credential:a") && text.contains("credential:b"), "{text}");
        assert!(text.contains("print-of-a"), "{text}");
    }
    assert!(!csv.contains(",=cmd"), "a formula: {csv}");
}
