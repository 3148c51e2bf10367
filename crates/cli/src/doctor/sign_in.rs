//! A real sign-in: a person at a browser, and the client's loopback redirect, which is served here for a moment.

use super::authorize::{Flow, returned};
use super::metadata::Issuer;
use super::report::{Findings, line};
use portunus_core::limits;
use portunus_core::secret::Secret;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// Bytes of the browser's request that are read, and the time for them.
const REQUEST: (usize, Duration) = (16 * 1024, Duration::from_secs(10));
const PAGE: &str = "Signed in. You can close this window and go back to the terminal.\n";

/// The port on which the browser comes back.
pub(crate) async fn listen(port: Option<u16>) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await
}

/// Sends a person to sign in and waits for the code.
pub(crate) async fn wait(
    listener: TcpListener,
    flow: &Flow,
    redirect: &str,
    issuer: &Issuer,
    findings: &mut Findings,
) -> Option<Secret<String>> {
    eprintln!("\nSign in with a browser at:\n\n  {}\n", line_of_url(&flow.address));
    let Ok(back) = tokio::time::timeout(limits::DOCTOR_SIGN_IN, come_back(&listener, redirect)).await else {
        findings.fail(
            format!("nobody came back within {} minutes", limits::DOCTOR_SIGN_IN.as_secs() / 60),
            "The browser was not sent to the client's redirect URI.",
            "Look at the browser: an error there says more.",
        );
        return None;
    };
    let parameter =
        |name: &str| back.query_pairs().find(|(n, _)| n == name).map(|(_, value)| value.into_owned());
    if let Some(error) = parameter("error") {
        let said = format!("{error} {}", parameter("error_description").unwrap_or_default());
        findings.fail(
            format!("sent back with {}", said.trim_end()),
            "Nothing was granted.",
            "Agree at the page, with a user who may use this server.",
        );
        return None;
    }
    if !returned(&back, issuer, &flow.state, findings) {
        return None;
    }
    let code = parameter("code");
    match &code {
        Some(_) => findings.ok("a person signed in and agreed"),
        None => findings.fail(
            "no code in the answer",
            "There is nothing to redeem.",
            "Send `code` (RFC 6749 section 4.1.2).",
        ),
    }
    code.map(Secret::new)
}

/// The whole address is needed, however long; it is percent-encoded by construction.
fn line_of_url(url: &Url) -> String {
    url.as_str().chars().filter(char::is_ascii_graphic).collect()
}

/// The first request for the redirect's path that carries an answer; a browser asks for other things too.
async fn come_back(listener: &TcpListener, redirect: &str) -> Url {
    let Ok(own) = Url::parse(redirect) else { return std::future::pending().await };
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let Ok(Some(target)) = tokio::time::timeout(REQUEST.1, serve(stream)).await else { continue };
        let Ok(url) = own.join(&target) else { continue };
        let answers = url.query_pairs().any(|(name, _)| name == "code" || name == "error");
        if url.origin() == own.origin() && url.path() == own.path() && answers {
            return url;
        }
    }
}

/// Reads a request's target and thanks for it.
async fn serve(mut stream: TcpStream) -> Option<String> {
    let mut read = Vec::new();
    while !read.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut piece = [0_u8; 2048];
        let count = stream.read(&mut piece).await.ok()?;
        if count == 0 || read.len() > REQUEST.0 {
            return None;
        }
        read.extend_from_slice(piece.get(..count)?);
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nreferrer-policy: no-referrer\r\nconnection: close\r\n\r\n",
        PAGE.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(PAGE.as_bytes()).await.ok()?;
    let text = String::from_utf8(read).ok()?;
    let target = text.lines().next()?.strip_prefix("GET ")?.split(' ').next()?;
    target.starts_with('/').then(|| target.to_owned())
}

/// Why the loopback port could not be had.
pub(crate) fn no_port(error: &std::io::Error, findings: &mut Findings) {
    findings.fail(
        format!("the client's redirect port cannot be opened here: {}", line(&error.to_string())),
        "The browser is sent back to it.",
        "End the program that holds it (the client itself?), or give --token-file.",
    );
}
