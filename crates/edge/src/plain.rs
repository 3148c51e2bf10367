//! The plain port: answers http-01 challenges (RFC 8555 section 8.3) and sends browsers to https. Nothing else is served
//! here, and no connection lives longer than [`limits::PLAIN_TIMEOUT`].

use crate::guard;
use crate::listener::Sources;
use crate::ports::Challenges;
use crate::route::Hosts;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use portunus_core::limits;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use url::Url;

/// Where RFC 8555 section 8.3 has challenges.
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// What the port answers.
pub struct Plain {
    /// Without a slash at the end.
    public_url: String,
    hosts: Hosts,
    challenges: Option<Arc<dyn Challenges>>,
}

impl Plain {
    /// Redirects to this URL; answers challenges where there are any.
    #[must_use]
    pub fn new(public_url: &Url, challenges: Option<Arc<dyn Challenges>>) -> Self {
        let text = public_url.as_str().trim_end_matches('/').to_owned();
        Self { public_url: text, hosts: Hosts::on_any_port(public_url), challenges }
    }

    /// Answers one request.
    pub async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if let Err(bad) = guard::check(request, &self.hosts) {
            return text(bad.status(), bad.to_string());
        }
        if carries_secret(request) {
            // A redirect would let this go on unnoticed.
            let told = "this request carried a token over plain http, where anybody can read it: revoke it, and use https\n";
            return text(StatusCode::FORBIDDEN, told.to_owned());
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, String::from("use https\n"));
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match request.uri().path().strip_prefix(CHALLENGES) {
            Some(token) => self.challenge(token).await,
            None => self.redirect(request),
        }
    }

    async fn challenge(&self, token: &str) -> Response<Full<Bytes>> {
        let answer = match &self.challenges {
            Some(challenges) => challenges.http(token).await,
            None => None,
        };
        match answer {
            Some(authorization) => text(StatusCode::OK, authorization),
            None => text(StatusCode::NOT_FOUND, String::from("no such challenge is pending\n")),
        }
    }

    /// To our own URL: the host that was asked for has no say in it.
    fn redirect<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        match HeaderValue::try_from(format!("{}{path}", self.public_url)) {
            Ok(location) => {
                let mut answer = text(StatusCode::PERMANENT_REDIRECT, String::from("use https\n"));
                answer.headers_mut().insert(header::LOCATION, location);
                answer
            }
            Err(_) => text(StatusCode::BAD_REQUEST, String::from("the request target is not acceptable\n")),
        }
    }
}

/// Whether somebody's client sends what must never go unencrypted.
fn carries_secret<B>(request: &Request<B>) -> bool {
    let query = request.uri().query().unwrap_or_default().to_ascii_lowercase();
    request.headers().contains_key(header::AUTHORIZATION)
        || request.headers().contains_key(header::COOKIE)
        || ["ptn_", "token=", "code="].iter().any(|mark| query.contains(mark))
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Serves until `stop` turns true.
pub async fn serve(listener: TcpListener, plain: Arc<Plain>, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(limits::PLAIN_CONNECTIONS));
    let sources = Arc::new(Sources::of(limits::PLAIN_CONNECTIONS / 4));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (Ok(permit), Some(source)) = (room.clone().try_acquire_owned(), sources.admit(peer.ip())) else {
            continue;
        };
        let plain = plain.clone();
        tokio::spawn(async move {
            if timeout(limits::PLAIN_TIMEOUT, connection(stream, plain)).await.is_err() {
                tracing::debug!(%peer, "a plain connection took too long");
            }
            drop((permit, source));
        });
    }
}

/// One request and its answer.
async fn connection(stream: TcpStream, plain: Arc<Plain>) {
    let service = service_fn(move |request| {
        let plain = plain.clone();
        async move { Ok::<_, Infallible>(plain.answer(&request).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEADER_TIMEOUT)
        .max_headers(limits::HEADER_FIELDS)
        .max_buf_size(limits::HEADER_BYTES)
        .keep_alive(false)
        .half_close(false);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a plain connection ended with an error");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use rustls::sign::CertifiedKey;

    struct Pending;

    #[async_trait]
    impl Challenges for Pending {
        async fn tls(&self, _: &str) -> Option<Arc<CertifiedKey>> {
            None
        }
        async fn http(&self, token: &str) -> Option<String> {
            (token == "abc").then(|| String::from("abc.thumb"))
        }
    }

    async fn answer(method: &str, target: &str, fields: &[(&str, &str)]) -> (u16, Option<String>) {
        let plain = Plain::new(&Url::parse("https://edge.test:8443").unwrap(), Some(Arc::new(Pending)));
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let answer = plain.answer(&request.body(()).unwrap()).await;
        let location = answer.headers().get(header::LOCATION).map(|l| l.to_str().unwrap().to_owned());
        (answer.status().as_u16(), location)
    }

    const HOST: (&str, &str) = ("host", "edge.test");

    #[tokio::test]
    async fn browsers_are_sent_to_the_public_url_whatever_they_ask_for() {
        for (target, location) in [
            ("/", "https://edge.test:8443/"),
            ("/a?b=c", "https://edge.test:8443/a?b=c"),
            ("//evil.test/", "https://edge.test:8443//evil.test/"),
            ("/@evil.test", "https://edge.test:8443/@evil.test"),
            ("http://edge.test/x", "https://edge.test:8443/x"),
        ] {
            for port in ["edge.test", "edge.test:80", "edge.test:5002"] {
                let given = answer("GET", target, &[("host", port)]).await;
                if target.starts_with("http:") && port != "edge.test" {
                    assert_eq!(given.0, 400, "two hosts");
                } else {
                    assert_eq!(given, (308, Some(location.to_owned())), "{target}");
                }
            }
        }
        assert_eq!(answer("GET", "/", &[("host", "evil.test")]).await, (421, None));
    }

    #[tokio::test]
    async fn tokens_and_posts_are_refused_and_never_redirected() {
        let bearer = ("authorization", "Bearer x");
        assert_eq!(answer("GET", "/sales/mcp", &[HOST, bearer]).await, (403, None));
        assert_eq!(answer("POST", "/sales/mcp", &[HOST, bearer]).await, (403, None));
        assert_eq!(answer("GET", "/", &[HOST, ("cookie", "a=b")]).await, (403, None));
        assert_eq!(answer("GET", "/sales/mcp?ACCESS_TOKEN=x", &[HOST]).await, (403, None));
        assert_eq!(answer("GET", "/cb?code=x", &[HOST]).await, (403, None));
        assert_eq!(answer("POST", "/sales/mcp", &[HOST]).await, (405, None));
        assert_eq!(answer("OPTIONS", "/", &[HOST]).await, (405, None));
    }

    #[tokio::test]
    async fn only_an_exact_token_is_answered_and_nothing_below_it_is_redirected() {
        let at = |path: &'static str| async move { answer("GET", path, &[HOST]).await };
        assert_eq!(at("/.well-known/acme-challenge/abc").await, (200, None));
        for other in ["", "abc/", "abd", "../x", "abc%20", "ABC"] {
            let target = format!("/.well-known/acme-challenge/{other}");
            assert_eq!(answer("GET", &target, &[HOST]).await, (404, None), "{other}");
        }
        // Another path is no challenge, however it is spelled.
        for other in ["/.well-known//acme-challenge/abc", "/%2ewell-known/acme-challenge/abc"] {
            assert_eq!(answer("GET", other, &[HOST]).await.0, 308, "{other}");
        }
    }
}
