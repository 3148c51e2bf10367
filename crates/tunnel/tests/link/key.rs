//! A key in the hands of a test, to sign what a connector would, and what it would not.

use portunus_tunnel::wire::RenewRequest;

/// A key as a connector makes it.
pub(crate) struct KeyFile(pub(crate) rcgen::KeyPair);

impl KeyFile {
    pub(crate) fn new() -> Self {
        Self(rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap())
    }
    pub(crate) fn csr(&self) -> String {
        rcgen::CertificateParams::default().serialize_request(&self.0).unwrap().pem().unwrap()
    }
    pub(crate) fn renewal(
        &self,
        connector: &portunus_core::id::Id,
        at: portunus_core::time::Timestamp,
    ) -> RenewRequest {
        use rcgen::SigningKey;
        let csr_pem = self.csr();
        let message = portunus_tunnel::wire::renewal_message(connector, at, &csr_pem);
        let signature = data_encoding::BASE64URL_NOPAD.encode(&self.0.sign(&message).unwrap());
        RenewRequest { connector: connector.clone(), at, csr_pem, signature }
    }
}
