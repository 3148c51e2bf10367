//! Reading requests: bodies within their bounds, forms with the right content type, who is asking and from where.

use crate::answer::{self, Refusal};
use crate::state::State;
use axum::extract::Request;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use portunus_core::limits;
use portunus_core::peer::ClientCertificate;
use portunus_oauth::error::{ErrorCode, OAuthError};
use portunus_oauth::form::Form;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// The source address of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The head of a request.
pub(crate) struct Head {
    pub(crate) headers: HeaderMap,
    pub(crate) query: String,
    pub(crate) peer: IpAddr,
    /// The certificate of the client's connection.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
}

impl Head {
    fn of(parts: http::request::Parts) -> Self {
        let peer = parts.extensions.get::<Peer>();
        Self {
            // Without an address all share one key of the throttles: the strictest reading.
            peer: peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0),
            certificate: ClientCertificate::of(&parts.extensions).cloned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
        }
    }
    /// The value of a header that may be there once.
    pub(crate) fn header(&self, name: header::HeaderName) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }
}

/// The head alone.
pub(crate) fn head(request: Request) -> Head {
    Head::of(request.into_parts().0)
}

/// Head and body, within [`limits::FORM_BYTES`] and [`limits::BODY_TIMEOUT`].
pub(crate) async fn whole(request: Request) -> Result<(Head, Bytes), OAuthError> {
    let (parts, body) = request.into_parts();
    let read =
        tokio::time::timeout(limits::BODY_TIMEOUT, axum::body::to_bytes(body, limits::FORM_BYTES)).await;
    let invalid =
        |description: String| OAuthError { code: ErrorCode::InvalidRequest, description, trouble: None };
    match read {
        Ok(Ok(bytes)) => Ok((Head::of(parts), bytes)),
        Ok(Err(_)) => {
            Err(invalid(format!("the body is longer than {} bytes, or broke off", limits::FORM_BYTES)))
        }
        Err(_elapsed) => Err(invalid("the body did not arrive in time".to_owned())),
    }
}

/// A form for an OAuth endpoint.
pub(crate) async fn oauth_form(request: Request) -> Result<(Head, Form), OAuthError> {
    let (head, body) = whole(request).await?;
    if !is_of_type(&head, "application/x-www-form-urlencoded") {
        let description = "the body must be application/x-www-form-urlencoded".to_owned();
        return Err(OAuthError { code: ErrorCode::InvalidRequest, description, trouble: None });
    }
    Ok((head, Form::parse(&body)?))
}

/// A form from one of our own pages. Browsers say where a form comes from; a foreign origin is refused here already,
/// before the form's own proof (see [`portunus_oauth::csrf`]) is looked at.
pub(crate) async fn page_form(state: &State, request: Request) -> Result<(Head, Form), Refusal> {
    let (head, form) = oauth_form(request).await.map_err(|error| {
        answer::message(
            state,
            StatusCode::BAD_REQUEST,
            "This form could not be read",
            &error.description,
            None,
        )
    })?;
    let site = head.header("sec-fetch-site".parse().unwrap_or(header::FROM));
    let foreign_origin = head.headers.contains_key(header::ORIGIN)
        && head.header(header::ORIGIN) != Some(state.issuer().as_str());
    if foreign_origin || site.is_some_and(|site| site == "cross-site" || site == "same-site") {
        return Err(answer::stale_form(state));
    }
    Ok((head, form))
}

/// Whether the content type is this one, whatever its parameters.
pub(crate) fn is_of_type(head: &Head, media_type: &str) -> bool {
    let value = head.header(header::CONTENT_TYPE).unwrap_or_default();
    value.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(media_type))
}
