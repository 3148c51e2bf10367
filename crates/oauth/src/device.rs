//! The device grant (RFC 8628): a device without a browser shows a short code, a person types it in on another screen,
//! sees who asks for what, and decides; the device fetches its tokens meanwhile by asking again and again.

use crate::authorize;
use crate::client;
use crate::client_auth::{self, Authenticated};
use crate::config::Issuer;
use crate::endpoint::Request;
use crate::error::{ErrorCode, OAuthError};
use crate::grants;
use crate::ports::{ATTEMPTS, Ports, Trouble};
use crate::throttle::{Key, Throttle, TooMany};
use crate::token::{Issued, New, live_grant, reused};
use portunus_core::caller::SignIn;
use portunus_core::digest::{Digest, sha256};
use portunus_core::document::{Client, DeviceRequest, DeviceState, Grant, User};
use portunus_core::id::{self, ClientId, Id};
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::server::Server;
use portunus_core::store::{Batch, Document, Query, Store, StoreError, Versioned, list, load};
use portunus_core::time::{Rng, Timestamp};
use portunus_core::token::{self, TokenKind};
use std::net::IpAddr;
use std::time::Duration;

/// The grant type with which a device fetches its tokens.
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Consonants: no look-alikes, no words (RFC 8628 section 6.1).
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Ten of twenty letters are 43 bits.
const LETTERS: usize = 10;

/// What a device is told (RFC 8628 section 3.2).
#[derive(Debug)]
pub struct Begun {
    device_code: Secret<String>,
    user_code: String,
    page: String,
}

impl Begun {
    /// The JSON of the answer; holds the device code.
    #[must_use]
    pub fn body(&self) -> Secret<String> {
        let Self { device_code, user_code, page } = self;
        let body = serde_json::json!({
            "device_code": device_code.expose(),
            "user_code": user_code,
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?user_code={user_code}"),
            "expires_in": limits::DEVICE_TTL.as_secs(),
            "interval": limits::DEVICE_INTERVAL.as_secs(),
        });
        Secret::new(body.to_string())
    }
}

/// Answers the device authorization endpoint (RFC 8628 section 3.1).
///
/// # Errors
/// When the client does not prove itself or never said that it uses this grant, the server or scope is not known, or too many devices wait.
pub async fn begin(ports: &Ports<'_>, request: &Request<'_>) -> Result<Begun, OAuthError> {
    if let Some(named) = request.form.get("client_id").and_then(|id| ClientId::parse(id).ok()) {
        // A client that is known by its metadata document may begin here.
        client::find(ports, request.issuer.registration(), request.fetcher, &named).await?;
    }
    let client = client_auth::authenticate(ports, request).await?;
    // Whoever gets the person to type in a code gets the tokens. Where a client has nothing but its redirect URI to be known
    // by, its id alone must not be enough for that.
    if !client.client().device_grant {
        let description =
            format!("this client does not use the device grant; its `grant_types` must name {GRANT_TYPE}");
        return Err(OAuthError::new(ErrorCode::UnauthorizedClient, description));
    }
    let resource = request.form.get("resource").ok_or_else(|| {
        OAuthError::new(ErrorCode::InvalidTarget, "`resource` is missing: send the server's URL (RFC 8707)")
    })?;
    let server = request.issuer.server_of_resource(resource).ok_or_else(|| {
        OAuthError::new(ErrorCode::InvalidTarget, "`resource` is not a server that is published here")
    })?;
    let scopes = authorize::scopes_of(request.form.get("scope"), &server.scopes)?;
    if ports.store.count(DeviceRequest::KIND).await? >= limits::DEVICE_REQUESTS {
        let description = "too many devices are waiting at the moment; try again in some minutes";
        return Err(OAuthError::new(ErrorCode::TemporarilyUnavailable, description));
    }
    let device_code = token::mint(TokenKind::Device, ports.rng);
    let digest = token::digest(TokenKind::Device, device_code.expose())
        .ok_or_else(|| OAuthError::new(ErrorCode::ServerError, "no code could be made"))?;
    let user_code = free_code(ports).await?;
    let device = DeviceRequest {
        digest,
        user_code: code_digest(&user_code),
        client_id: client.client().client_id.clone(),
        server: server.name.clone(),
        scopes,
        state: DeviceState::Pending,
        interval: limits::DEVICE_INTERVAL.as_secs(),
        asked_at: None,
        created_at: ports.now,
        expires_at: ports.now.plus(limits::DEVICE_TTL),
    };
    ports.store.commit(Batch::new().insert(&device)).await?;
    Ok(Begun { device_code, user_code, page: request.issuer.endpoint("/device") })
}

/// A code that no other device shows at the moment.
async fn free_code(ports: &Ports<'_>) -> Result<String, OAuthError> {
    for _ in 0..ATTEMPTS {
        let code = mint_code(ports.rng);
        if waiting(ports.store, ports.now, &code).await?.is_empty() {
            return Ok(code);
        }
    }
    Err(Trouble::Busy.into())
}

/// `BCDFG-HJKLM`.
fn mint_code(rng: &dyn Rng) -> String {
    let mut code = String::with_capacity(LETTERS + 1);
    let mut random = [0_u8; 32];
    while code.len() <= LETTERS {
        rng.fill(&mut random);
        // 240 is the largest multiple of 20 that a byte holds: each letter is as likely as any other.
        for byte in random.iter().filter(|byte| **byte < 240) {
            if code.len() == LETTERS / 2 {
                code.push('-');
            }
            if code.len() <= LETTERS {
                let letter = ALPHABET.get(usize::from(*byte) % ALPHABET.len());
                code.push(char::from(letter.copied().unwrap_or(b'B')));
            }
        }
    }
    code
}

/// A code as a person typed it, in the form it was shown; `None` when it cannot be one.
#[must_use]
pub fn read_code(typed: &str) -> Option<String> {
    let letters: String =
        typed.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_ascii_uppercase()).collect();
    let known = letters.bytes().all(|b| ALPHABET.contains(&b));
    let (first, second) = letters.split_at_checked(LETTERS / 2)?;
    (letters.len() == LETTERS && known).then(|| format!("{first}-{second}"))
}

fn code_digest(code: &str) -> Digest {
    sha256(&[b"portunus user code ", code.as_bytes()])
}

async fn waiting(
    store: &dyn Store,
    now: Timestamp,
    code: &str,
) -> Result<Vec<Versioned<DeviceRequest>>, StoreError> {
    let parent = code_digest(code).hex();
    let mut found =
        list::<DeviceRequest>(store, Query { parent: Some(&parent), limit: 2, ..Query::default() }).await?;
    found
        .retain(|device| device.value.state == DeviceState::Pending && !device.value.expires_at.is_past(now));
    Ok(found)
}

/// What a person who typed in a code is asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The code, as it is shown on the device.
    pub code: String,
    /// The client on the device.
    pub client: Client,
    /// The server it asks for.
    pub server: Server,
    device: Versioned<DeviceRequest>,
}

impl Asked {
    /// A digest of everything that the page shows and a yes grants.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let device = &self.device.value;
        sha256(&[
            b"portunus device request",
            &device.digest.0,
            &sha256(&[self.client.name.as_bytes()]).0,
            &sha256(&[device.scopes.join(" ").as_bytes()]).0,
            device.server.as_str().as_bytes(),
        ])
    }
}

/// Looks a typed code up; `None` when no device waits with it.
///
/// # Errors
/// When the store fails.
pub async fn look_up(ports: &Ports<'_>, issuer: &Issuer, typed: &str) -> Result<Option<Asked>, StoreError> {
    let Some(code) = read_code(typed) else { return Ok(None) };
    let mut found = waiting(ports.store, ports.now, &code).await?;
    let (Some(device), true) = (found.pop(), found.is_empty()) else { return Ok(None) };
    let client = load::<Client>(ports.store, device.value.client_id.as_str()).await?;
    let server = issuer.server(&device.value.server).cloned();
    let found = client.zip(server);
    Ok(found.map(|(client, server)| Asked { code, client: client.value, server, device }))
}

/// The person decided.
///
/// # Errors
/// When it could not be stored or recorded, or somebody else decided in this moment; nothing was granted then.
pub async fn decide(
    ports: &Ports<'_>,
    asked: Asked,
    user: &User,
    sign_in: &SignIn,
    allow: bool,
) -> Result<(), OAuthError> {
    let Versioned { value: device, version } = asked.device;
    let by = user.name.as_str();
    if !allow {
        let detail = [("server", device.server.as_str()), ("client_name", &asked.client.name)];
        ports.record(by, "consent.denied", device.client_id.as_str(), &detail).await?;
        let denied = DeviceRequest { state: DeviceState::Denied, ..device };
        ports.store.commit(Batch::new().update(&denied, version)).await?;
        return Ok(());
    }
    // Always a grant of its own: one device can be thrown out and the others stay.
    let grant = Grant {
        id: id::mint("grt", ports.now, ports.rng),
        user: user.name.clone(),
        client_id: device.client_id.clone(),
        client_name: asked.client.name.clone(),
        server: device.server.clone(),
        scopes: device.scopes.clone(),
        sign_in: sign_in.clone(),
        created_at: ports.now,
        revoked_at: None,
        revoked_why: None,
        actor: None,
        ends_at: None,
    };
    grants::record(ports, by, "grant.created", &grant, &[("through", "device")]).await?;
    client::mark_agreed(ports, &grant.client_id).await?;
    let allowed = DeviceRequest { state: DeviceState::Allowed(grant.id.clone()), ..device };
    ports.store.commit(Batch::new().insert(&grant).update(&allowed, version)).await?;
    Ok(())
}

/// Answers a device that asks for its tokens (RFC 8628 sections 3.4 and 3.5). A device code that comes back after its
/// tokens were given out has two holders: what came of it ends.
///
/// # Errors
/// `authorization_pending`, `slow_down`, `expired_token`, `access_denied`, `invalid_grant`.
pub(crate) async fn redeem(
    ports: &Ports<'_>,
    request: &Request<'_>,
    client: &Authenticated,
) -> Result<Issued, OAuthError> {
    let text = request.form.require("device_code")?;
    let digest = token::digest(TokenKind::Device, text).ok_or_else(unknown)?;
    let Versioned { value: device, version } =
        load::<DeviceRequest>(ports.store, &digest.hex()).await?.ok_or_else(unknown)?;
    if device.client_id != client.client().client_id {
        return Err(unknown());
    }
    match &device.state {
        DeviceState::Used(grant) => {
            reused(ports, "device_code.reused", grant, "its device code was used twice").await?;
            Err(unknown())
        }
        _ if device.expires_at.is_past(ports.now) => {
            let description = "nobody let the device in in time; begin again";
            Err(OAuthError::new(ErrorCode::ExpiredToken, description))
        }
        DeviceState::Denied => Err(OAuthError::new(ErrorCode::AccessDenied, "the user said no")),
        DeviceState::Pending => Err(wait(ports, device, version).await?),
        DeviceState::Allowed(grant) => {
            let grant = grant.clone();
            issue(ports, request, client, (device, version), &grant).await
        }
    }
}

async fn issue(
    ports: &Ports<'_>,
    request: &Request<'_>,
    client: &Authenticated,
    (device, version): (DeviceRequest, u64),
    grant: &Id,
) -> Result<Issued, OAuthError> {
    let grant = live_grant(ports, grant).await?;
    if request.issuer.server(&grant.value.server).is_none() {
        return Err(OAuthError::new(ErrorCode::InvalidTarget, "the server is not published any more"));
    }
    let new = New::mint(ports, request.issuer.lives(), &grant.value, grant.value.scopes.clone(), 1)?
        .held(client.holding());
    let used = DeviceRequest { state: DeviceState::Used(grant.value.id.clone()), ..device };
    let batch = new.batch(Batch::new().update(&used, version), &grant);
    match ports.store.commit(batch).await {
        Ok(_generation) => new.release(ports, client, &grant.value, "token.issued").await,
        Err(StoreError::Conflict { .. }) => Err(unknown()),
        Err(error) => Err(error.into()),
    }
}

/// Notes the question. One that comes too early makes the client wait longer from then on (RFC 8628 section 3.5).
async fn wait(ports: &Ports<'_>, device: DeviceRequest, version: u64) -> Result<OAuthError, OAuthError> {
    let pause = Duration::from_secs(device.interval);
    let early = device.asked_at.is_some_and(|at| ports.now.since(at) < pause);
    let longer = if early { limits::DEVICE_INTERVAL.as_secs() } else { 0 };
    let interval = (device.interval + longer).min(limits::DEVICE_TTL.as_secs());
    let noted = DeviceRequest { asked_at: Some(ports.now), interval, ..device };
    match ports.store.commit(Batch::new().update(&noted, version)).await {
        Ok(_generation) if !early => {
            let description = "nobody has decided yet; ask again after the interval";
            Ok(OAuthError::new(ErrorCode::AuthorizationPending, description))
        }
        // Two questions at once are too many as well.
        Ok(_) | Err(StoreError::Conflict { .. }) => {
            let description = format!("ask less often: every {interval} seconds");
            Ok(OAuthError::new(ErrorCode::SlowDown, description))
        }
        Err(error) => Err(error.into()),
    }
}

fn unknown() -> OAuthError {
    OAuthError::new(
        ErrorCode::InvalidGrant,
        "the device code is wrong, used, or another client's; begin again",
    )
}

/// Typed codes that were no codes: bounded for each user, each address, and all together.
#[derive(Debug)]
pub struct Guesses {
    each: Throttle,
    all: Throttle,
}

impl Default for Guesses {
    fn default() -> Self {
        let each = Throttle::new(limits::LOGIN_FAILURES, limits::LOGIN_WINDOW);
        Self { each, all: Throttle::new(limits::DEVICE_GUESSES, limits::LOGIN_WINDOW) }
    }
}

impl Guesses {
    fn keys(user: &User, address: IpAddr) -> [Key; 2] {
        [Key::user(user.name.as_str()), Key::address(address)]
    }
    /// Counts one before it is looked up.
    ///
    /// # Errors
    /// When there were too many.
    pub fn attempt(&mut self, user: &User, address: IpAddr, now: Timestamp) -> Result<(), TooMany> {
        Self::keys(user, address).iter().try_for_each(|key| self.each.attempt(*key, now))?;
        self.all.attempt(Key::everyone(), now)
    }
    /// Gives back one that was a code.
    pub fn give_back(&mut self, user: &User, address: IpAddr) {
        Self::keys(user, address).iter().for_each(|key| self.each.give_back(*key));
        self.all.give_back(Key::everyone());
    }
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
