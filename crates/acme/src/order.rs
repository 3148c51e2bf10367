//! One order, from request to certificate (RFC 8555 section 7.4).

use crate::authority::{AcmeError, Authority};
use crate::challenge::{self, Kind};
use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, CertificateIdentifier, ChallengeType, Identifier,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use portunus_core::document::PendingChallenge;
use portunus_core::limits;
use portunus_core::store::{Batch, Expect};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::CertificateDer;
use std::time::Duration;

/// How the authority is asked whether it is done.
const POLL: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(limits::ACME_ORDER_TIMEOUT);

impl Authority {
    /// Orders a certificate; gives its chain (PEM) and key.
    pub(crate) async fn issue(
        &self,
        account: &Account,
        replaces: Option<&CertificateDer<'static>>,
    ) -> Result<(String, KeyPair), AcmeError> {
        self.check_profile(account)?;
        let mut order = self.place(account, replaces).await?;
        let mut answers = Vec::new();
        let validated = self.validate(&mut order, &mut answers).await;
        // What the authority has looked at, or will not look at any more, is answered to nobody.
        let done =
            answers.iter().fold(Batch::new(), |batch, id| batch.delete::<PendingChallenge>(id, Expect::Any));
        self.store.commit(done).await?;
        validated?;
        // A new key each time: one that leaked is of use only until the next renewal.
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new([self.plan.host.clone()])?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key)?;
        order.finalize_csr(request.der()).await.map_err(AcmeError::at("sending the signing request"))?;
        let chain = order.poll_certificate(&POLL).await.map_err(AcmeError::at("fetching the certificate"))?;
        Ok((chain, key))
    }

    fn check_profile(&self, account: &Account) -> Result<(), AcmeError> {
        let Some(wanted) = self.plan.profile.as_deref() else { return Ok(()) };
        let offered: Vec<&str> = account.profiles().map(|profile| profile.name).collect();
        if offered.contains(&wanted) {
            return Ok(());
        }
        let offered = if offered.is_empty() { String::from("none") } else { offered.join(", ") };
        Err(AcmeError::Refused(format!("the authority has no profile `{wanted}`; it offers: {offered}")))
    }

    /// An order that names the certificate it replaces is counted more kindly (RFC 9773 section 5); where that is refused,
    /// one that does not.
    async fn place(
        &self,
        account: &Account,
        replaces: Option<&CertificateDer<'static>>,
    ) -> Result<Order, AcmeError> {
        let identifiers = [self.identifier()];
        let new = || {
            let order = NewOrder::new(&identifiers);
            self.plan.profile.as_deref().map_or(order, |profile| NewOrder::new(&identifiers).profile(profile))
        };
        if let Some(id) = replaces.and_then(|old| CertificateIdentifier::try_from(old).ok()) {
            match account.new_order(&new().replaces(id)).await {
                Ok(order) => return Ok(order),
                Err(error) => {
                    tracing::debug!(%error, "ordering without naming the certificate that is replaced")
                }
            }
        }
        account.new_order(&new()).await.map_err(AcmeError::at("placing the order"))
    }

    fn identifier(&self) -> Identifier {
        let host = self.plan.host.as_str();
        host.parse().map_or_else(|_| Identifier::Dns(host.to_ascii_lowercase()), Identifier::Ip)
    }

    /// Puts the answers in place and waits until the authority has seen them; notes their ids in `answers`.
    async fn validate(&self, order: &mut Order, answers: &mut Vec<String>) -> Result<(), AcmeError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(AcmeError::at("reading an authorization"))?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                other => return Err(AcmeError::Refused(format!("the authorization is {other:?} already"))),
            }
            // Answering for another name would let whoever asks have a certificate for it.
            if authorization.identifier().identifier != &self.identifier() {
                let asked = authorization.identifier().to_string();
                return Err(AcmeError::Refused(format!("the authority asks for another name: {asked:?}")));
            }
            self.answer(&mut authorization, answers).await?;
        }
        match order.poll_ready(&POLL).await {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(_) => {
                let seen = seen(order).await;
                Err(self.not_validated(&seen))
            }
            Err(instant_acme::Error::Api(problem)) => Err(self.not_validated(&problem.to_string())),
            Err(error) => Err(AcmeError::at("waiting for the validation")(error)),
        }
    }

    async fn answer<'a>(
        &self,
        authorization: &'a mut AuthorizationHandle<'a>,
        answers: &mut Vec<String>,
    ) -> Result<(), AcmeError> {
        let kind = self.plan.challenge;
        let offered = authorization.challenges.iter().map(|c| format!("{:?}", c.r#type)).collect::<Vec<_>>();
        let wanted = match kind {
            Kind::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Kind::Http01 => ChallengeType::Http01,
        };
        let mut asked = authorization.challenge(wanted).ok_or_else(|| {
            let offered = offered.join(", ");
            AcmeError::Refused(format!("the authority offers no {} here, but: {offered}", kind.as_str()))
        })?;
        if !challenge::is_token(&asked.token) {
            return Err(AcmeError::Refused(String::from("the authority's token is not base64url")));
        }
        let pending = PendingChallenge {
            id: kind.id(&self.plan.host, &asked.token),
            key_authorization: asked.key_authorization().as_str().to_owned(),
            expires_at: self.clock.now().plus(limits::ACME_ORDER_TIMEOUT),
        };
        answers.push(pending.id.clone());
        self.store.commit(Batch::new().upsert(&pending)).await?;
        asked.set_ready().await.map_err(AcmeError::at("asking for the validation"))
    }

    fn not_validated(&self, seen: &str) -> AcmeError {
        let (host, kind) = (&self.plan.host, self.plan.challenge.as_str());
        AcmeError::Refused(format!("the authority could not validate {host} by {kind}: {seen}"))
    }
}

/// What the authority saw when it looked.
async fn seen(order: &mut Order) -> String {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let errors = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        reasons.extend(errors.map(ToString::to_string));
    }
    reasons.join("; ")
}
