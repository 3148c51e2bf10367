//! The Query API of AWS: a form by `POST`, an answer in XML of which a few plain values are read.

use crate::http::Http;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use portunus_core::secret::Secret;
use portunus_core::time::Timestamp;
use portunus_vault::rotation::RotatorError;
use portunus_vault::service::sigv4::{AccessKeys, Scope, sign};
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

/// One service.
pub(super) struct Api<'a> {
    pub(super) url: Url,
    pub(super) host: String,
    pub(super) region: &'a str,
    pub(super) service: &'static str,
}

impl Api<'_> {
    fn version(&self) -> &'static str {
        if self.service == "sts" { "2011-06-15" } else { "2010-05-08" }
    }
}

/// What a service said.
pub(super) struct Said {
    host: String,
    status: StatusCode,
    body: Secret<Vec<u8>>,
}

/// What a service says of a key that is not good: unknown, inactive or deleted.
const REFUSALS: [&str; 4] =
    ["InvalidClientTokenId", "InvalidAccessKeyId", "UnrecognizedClientException", "InactiveAccessKey"];

impl Said {
    fn text(&self) -> &str {
        std::str::from_utf8(self.body.expose()).unwrap_or_default()
    }
    pub(super) fn code(&self) -> String {
        values(self.text(), "Code").into_iter().next().unwrap_or_else(|| self.status.to_string())
    }
    pub(super) fn is_refusal_of_the_key(&self) -> bool {
        self.status.is_client_error() && REFUSALS.contains(&self.code().as_str())
    }

    /// The body of a success.
    pub(super) fn accepted(self, what: &str) -> Result<Zeroizing<String>, RotatorError> {
        if self.status == StatusCode::OK {
            return Ok(Zeroizing::new(self.text().to_owned()));
        }
        let message = values(self.text(), "Message").into_iter().next().unwrap_or_default();
        let text = format!("{what}: {} answered {}: {message}", self.host, self.code());
        // Throttled, or broken on their side.
        if self.status.is_server_error()
            || self.code().contains("Thrott")
            || self.code() == "RequestLimitExceeded"
        {
            return Err(RotatorError::Later(text));
        }
        Err(RotatorError::Wrong(text))
    }

    /// That it is gone is as good.
    pub(super) fn done_or_gone(self, what: &str) -> Result<(), RotatorError> {
        if self.code() == "NoSuchEntity" { Ok(()) } else { self.accepted(what).map(drop) }
    }
}

/// Asks, signed as of `now`.
pub(super) async fn ask(
    http: &Http,
    api: &Api<'_>,
    keys: &AccessKeys,
    action: &str,
    parameters: &[(&str, &str)],
    now: Timestamp,
) -> Result<Said, RotatorError> {
    let request = request(api, keys, action, parameters, now);
    let request = request.map_err(|why| RotatorError::Wrong(format!("{}: {why}", api.host)))?;
    let answer = http.send(request.map(|body| Full::new(Bytes::from(body)))).await?;
    Ok(Said { host: api.host.clone(), status: answer.status, body: answer.body })
}

fn request(
    api: &Api<'_>,
    keys: &AccessKeys,
    action: &str,
    parameters: &[(&str, &str)],
    now: Timestamp,
) -> Result<Request<Vec<u8>>, &'static str> {
    let mut form = Serializer::new(String::new());
    form.append_pair("Action", action).append_pair("Version", api.version()).extend_pairs(parameters);
    let mut request = Request::post(api.url.as_str())
        .header(header::HOST, &api.host)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")
        .body(form.finish().into_bytes())
        .map_err(|_| "the request could not be written")?;
    sign(&mut request, keys, Scope { region: api.region, service: api.service }, now)?;
    Ok(request)
}

/// The plain values of all elements of this name. Such values hold no markup: what looks like it makes the value unusable.
pub(super) fn values(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let pieces = xml.split(open.as_str()).skip(1);
    let values = pieces.filter_map(|piece| piece.split_once(close.as_str())).map(|(value, _)| value);
    values.filter(|value| !value.contains(['<', '>', '&'])).map(|value| value.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_are_read_and_nothing_else() {
        let xml = "<R><K><AccessKeyId>AKIA1</AccessKeyId><Status>Active</Status></K><K>\
                   <AccessKeyId> AKIA2 </AccessKeyId><Status>Inactive</Status></K></R>";
        assert_eq!(values(xml, "AccessKeyId"), ["AKIA1", "AKIA2"]);
        assert_eq!(values(xml, "Status"), ["Active", "Inactive"]);
        for bad in ["<Code><b>x</b></Code>", "<Code>a&lt;b</Code>", "<Code>open", "Code", ""] {
            assert!(values(bad, "Code").is_empty(), "{bad}");
        }
    }
}
