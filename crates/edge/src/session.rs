//! Legacy session ids, bound to the caller they were given to. Behind the edge all callers of a server share one
//! credential, so only the edge can tell them apart: what a client gets is the upstream's id with a proof of whose it is.

use crate::caller::Known;
use crate::refusal::Refusal;
use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, HeaderValue};
use portunus_core::digest::equal;
use portunus_mcp::header::MCP_SESSION_ID;

/// Bytes of the proof.
const PROOF_BYTES: usize = 16;

/// Binds session ids to callers; needs no state.
pub struct Sessions(hmac::Key);

impl Sessions {
    /// With a key derived from a secret of this edge's own.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        let outer = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&outer, b"portunus session ids 1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// Puts the proof behind the session id of an answer.
    pub fn bind(&self, headers: &mut HeaderMap, known: &Known) {
        let Some(id) = headers.remove(MCP_SESSION_ID) else { return };
        let proof = BASE64URL_NOPAD.encode(&self.proof(id.as_bytes(), known));
        let bound = [id.as_bytes(), b".", proof.as_bytes()].concat();
        // An upstream's id that is no header value any more with the proof is no session at all.
        if let Ok(value) = HeaderValue::from_bytes(&bound) {
            headers.insert(MCP_SESSION_ID, value);
        }
    }

    /// Takes the proof off the session id of a request.
    ///
    /// # Errors
    /// [`Refusal::NoSession`] when it was not given to this caller: the client then starts a new one.
    pub fn check(&self, headers: &mut HeaderMap, known: &Known) -> Result<(), Refusal> {
        let Some(bound) = headers.remove(MCP_SESSION_ID) else { return Ok(()) };
        let bound = bound.as_bytes();
        let at = bound.iter().rposition(|byte| *byte == b'.').ok_or(Refusal::NoSession)?;
        let (id, proof) = bound.split_at_checked(at).ok_or(Refusal::NoSession)?;
        let proof =
            BASE64URL_NOPAD.decode(proof.get(1..).unwrap_or_default()).map_err(|_| Refusal::NoSession)?;
        if !equal(&proof, &self.proof(id, known)) {
            return Err(Refusal::NoSession);
        }
        let id = HeaderValue::from_bytes(id).map_err(|_| Refusal::NoSession)?;
        headers.insert(MCP_SESSION_ID, id);
        Ok(())
    }

    /// Over server, user, client and id, each behind its length.
    fn proof(&self, id: &[u8], known: &Known) -> Vec<u8> {
        let caller = &known.caller;
        let mut context = hmac::Context::with_key(&self.0);
        for part in [caller.server.as_str(), caller.user.as_str(), caller.client.as_str()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        context.update(id);
        context.sign().as_ref().iter().take(PROOF_BYTES).copied().collect()
    }
}
