//! The edge's own certificate authorities: one signs its server certificate when no public one does, one signs connectors,
//! one signs what the edge shows to upstream servers. Three types with three keys, so that none can stand in for another. Storing them is the caller's job:
//! an authority goes out, and comes back in, as one secret PEM text of certificate and key.

use crate::certificate::san_uri;
use portunus_core::digest::{Digest, sha256};
use portunus_core::id::{Id, ServerName};
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::time::{Rng, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, RevocationReason, RevokedCertParams, SanType, SerialNumber,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};
use std::net::IpAddr;
use std::time::Duration;
use zeroize::Zeroizing;

/// Signs the edge's server certificate for `local_ca: true` and the demo.
#[derive(Debug)]
pub struct ServerAuthority(Authority);

/// Signs the client certificates of connectors.
#[derive(Debug)]
pub struct LinkAuthority(Authority);

/// Signs the client certificates that the edge shows to upstream servers.
#[derive(Debug)]
pub struct ClientAuthority(Authority);

/// A server certificate and its key.
#[derive(Debug)]
pub struct ServerCertificate {
    /// The leaf alone: clients hold the authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

/// Why an authority could not be made, loaded or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The stored text is not an authority.
    #[error(
        "the stored certificate authority is unreadable: {0}; restore it from a backup, or remove it to make a new one"
    )]
    Unreadable(String),
    /// A name cannot be put into a certificate.
    #[error("`{0}` is neither a DNS name nor an IP address")]
    Name(String),
    /// The signing request is no proof of possession of a P-256 key.
    #[error("the certificate signing request is refused: {0}")]
    Csr(String),
    /// The cryptographic library refused.
    #[error("the certificate could not be made: {0}")]
    Failed(#[from] rcgen::Error),
    /// A moment that X.509 cannot express.
    #[error("the certificate's validity is out of range")]
    Validity,
}

impl ServerAuthority {
    /// Makes a new authority, and the text to store it by.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn create(now: Timestamp, rng: &dyn Rng) -> Result<(Self, Secret<String>), AuthorityError> {
        let (authority, pem) = Authority::create("Portunus local CA", now, rng)?;
        Ok((Self(authority), pem))
    }
    /// Loads what [`Self::create`] gave to store.
    ///
    /// # Errors
    /// When the text is something else.
    pub fn load(pem: &Secret<String>) -> Result<Self, AuthorityError> {
        Authority::load(pem).map(Self)
    }
    /// The authority's certificate in PEM, for clients that shall trust it.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.0.certificate)
    }
    /// A certificate for a fresh key, valid for these DNS names and IP addresses.
    ///
    /// # Errors
    /// When a name is not valid or signing fails.
    pub fn server_cert(
        &self,
        names: &[String],
        now: Timestamp,
        rng: &dyn Rng,
    ) -> Result<ServerCertificate, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = leaf_params(names.first().map_or("Portunus", String::as_str), rng);
        set_validity(&mut params, now, limits::LOCAL_CERT_TTL)?;
        params.subject_alt_names = names.iter().map(|name| san(name)).collect::<Result<_, _>>()?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.0.issuer)?;
        let key = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|why| AuthorityError::Unreadable(why.to_owned()))?;
        Ok(ServerCertificate { chain: vec![certificate.der().clone()], key })
    }
}

impl LinkAuthority {
    /// Makes a new authority, and the text to store it by.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn create(now: Timestamp, rng: &dyn Rng) -> Result<(Self, Secret<String>), AuthorityError> {
        let (authority, pem) = Authority::create("Portunus link CA", now, rng)?;
        Ok((Self(authority), pem))
    }
    /// Loads what [`Self::create`] gave to store.
    ///
    /// # Errors
    /// When the text is something else.
    pub fn load(pem: &Secret<String>) -> Result<Self, AuthorityError> {
        Authority::load(pem).map(Self)
    }
    /// The root that connectors' certificates are checked against.
    #[must_use]
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.0.certificate
    }
    /// A connector's certificate, in PEM: subject CN = its id, one SAN URI with id and server, client authentication
    /// only.
    ///
    /// # Errors
    /// When signing fails.
    pub fn connector_cert(
        &self,
        key: &ProvenKey,
        connector: &Id,
        server: &ServerName,
        life: Duration,
        now: Timestamp,
        rng: &dyn Rng,
    ) -> Result<String, AuthorityError> {
        let mut params = leaf_params(connector.as_str(), rng);
        set_validity(&mut params, now, life)?;
        params.subject_alt_names = vec![SanType::URI(san_uri(connector, server).try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Ok(params.signed_by(&key.0, &self.0.issuer)?.pem())
    }
}

impl ClientAuthority {
    /// Makes a new authority, and the text to store it by.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn create(now: Timestamp, rng: &dyn Rng) -> Result<(Self, Secret<String>), AuthorityError> {
        let (authority, pem) = Authority::create("Portunus client CA", now, rng)?;
        Ok((Self(authority), pem))
    }
    /// Loads what [`Self::create`] gave to store.
    ///
    /// # Errors
    /// When the text is something else.
    pub fn load(pem: &Secret<String>) -> Result<Self, AuthorityError> {
        Authority::load(pem).map(Self)
    }
    /// What upstream servers trust.
    #[must_use]
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.0.certificate
    }
    /// The same in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.0.certificate)
    }
    /// A certificate for a fresh key, for client authentication only, and the key: both PEM. `serial` is positive and unique.
    ///
    /// # Errors
    /// When signing fails.
    pub fn client_cert(
        &self,
        name: &str,
        serial: &[u8],
        life: Duration,
        now: Timestamp,
    ) -> Result<Secret<Vec<u8>>, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = leaf(name, serial);
        set_validity(&mut params, now, life)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.0.issuer)?.pem();
        let private = Zeroizing::new(key.serialize_pem());
        Ok(Secret::new([certificate.as_bytes(), private.as_bytes()].concat()))
    }
    /// The list of serial numbers that are revoked, and since when; PEM (RFC 5280 section 5). It says that it is good as long
    /// as the authority: it is written anew whenever it changes, and an edge that is down must not lock everybody out.
    ///
    /// # Errors
    /// When signing fails.
    pub fn revocations(
        &self,
        revoked: &[(Vec<u8>, Timestamp)],
        now: Timestamp,
    ) -> Result<String, AuthorityError> {
        let (_, own) = x509_parser::parse_x509_certificate(&self.0.certificate)
            .map_err(|why| AuthorityError::Unreadable(why.to_string()))?;
        let entry = |(serial, since): &(Vec<u8>, Timestamp)| {
            Ok(RevokedCertParams {
                serial_number: SerialNumber::from_slice(serial),
                revocation_time: moment(since.as_secs())?,
                reason_code: Some(RevocationReason::Superseded),
                invalidity_date: None,
            })
        };
        let list = CertificateRevocationListParams {
            this_update: moment(now.as_secs().saturating_sub(limits::CERT_BACKDATE.as_secs()))?,
            next_update: own.validity().not_after.to_datetime(),
            crl_number: SerialNumber::from_slice(&now.as_millis().to_be_bytes()),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect::<Result<_, AuthorityError>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.0.issuer)?.pem()?)
    }
}

/// A public key whose possession was proven by the signature of a signing request.
#[derive(Debug)]
pub struct ProvenKey(rcgen::PublicKey);

impl ProvenKey {
    /// Checks a PKCS #10 request; everything in it but the public key is ignored.
    ///
    /// # Errors
    /// When it does not parse, is not signed by its own key, or the key is not on P-256.
    pub fn from_csr(pem: &str) -> Result<Self, AuthorityError> {
        const P256_POINT_BYTES: usize = 65;
        let refuse = |why: &str| AuthorityError::Csr(why.to_owned());
        if pem.len() > limits::ENROL_BYTES {
            return Err(refuse("it is too long"));
        }
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| refuse("it is not a PEM `CERTIFICATE REQUEST`"))?;
        let csr = CertificateSigningRequestParams::from_der(&der)
            .map_err(|_| refuse("it does not parse, or its signature does not match its key"))?;
        let point = csr.public_key.der_bytes();
        let p256 = csr.public_key.algorithm() == &PKCS_ECDSA_P256_SHA256
            && point.len() == P256_POINT_BYTES
            && point.first() == Some(&4);
        if p256 { Ok(Self(csr.public_key)) } else { Err(refuse("its key is not ECDSA on P-256")) }
    }
    /// SHA-256 of the SubjectPublicKeyInfo.
    #[must_use]
    pub fn digest(&self) -> Digest {
        sha256(&[&self.0.subject_public_key_info()])
    }
    /// Whether this key made the ASN.1 `signature` over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, self.0.der_bytes()).verify(message, signature).is_ok()
    }
}

/// What both kinds are made of.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    fn create(name: &str, now: Timestamp, rng: &dyn Rng) -> Result<(Self, Secret<String>), AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        // The suffix keeps the subjects of successive authorities apart.
        let suffix = data_encoding::HEXLOWER.encode(&random::<4>(rng));
        let mut params = leaf_params(&format!("{name} {suffix}"), rng);
        set_validity(&mut params, now, limits::AUTHORITY_TTL)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = false;
        let certificate = params.self_signed(&key)?.der().clone();
        let text = Secret::new(format!("{}{}", pem("CERTIFICATE", &certificate), key.serialize_pem()));
        Ok((Self { issuer: Issuer::new(params, key), certificate }, text))
    }

    fn load(pem: &Secret<String>) -> Result<Self, AuthorityError> {
        let unreadable = |why: &dyn std::fmt::Display| AuthorityError::Unreadable(why.to_string());
        let bytes = pem.expose().as_bytes();
        let certificate = CertificateDer::from_pem_slice(bytes).map_err(|why| unreadable(&why))?;
        let key = PrivateKeyDer::from_pem_slice(bytes).map_err(|why| unreadable(&why))?;
        let key = KeyPair::try_from(&key).map_err(|why| unreadable(&why))?;
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&certificate).map_err(|why| unreadable(&why))?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(unreadable(&"its key does not belong to its certificate"));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|why| unreadable(&why))?;
        Ok(Self { issuer, certificate })
    }
}

fn leaf_params(name: &str, rng: &dyn Rng) -> CertificateParams {
    let mut serial = random::<16>(rng);
    // RFC 5280 section 4.1.2.2: positive.
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    leaf(name, &serial)
}

fn leaf(name: &str, serial: &[u8]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

fn set_validity(
    params: &mut CertificateParams,
    now: Timestamp,
    life: Duration,
) -> Result<(), AuthorityError> {
    params.not_before = moment(now.as_secs().saturating_sub(limits::CERT_BACKDATE.as_secs()))?;
    // X.509 counts whole seconds: not less than `life`.
    params.not_after = moment(now.plus(life).as_secs() + 1)?;
    Ok(())
}

fn moment(secs: u64) -> Result<time::OffsetDateTime, AuthorityError> {
    let secs = i64::try_from(secs).map_err(|_| AuthorityError::Validity)?;
    time::OffsetDateTime::from_unix_timestamp(secs).map_err(|_| AuthorityError::Validity)
}

fn san(name: &str) -> Result<SanType, AuthorityError> {
    let invalid = || AuthorityError::Name(name.escape_debug().take(80).collect());
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    rustls_pki_types::DnsName::try_from(name).map_err(|_| invalid())?;
    Ok(SanType::DnsName(name.try_into().map_err(|_| invalid())?))
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

fn random<const N: usize>(rng: &dyn Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill(&mut bytes);
    bytes
}
