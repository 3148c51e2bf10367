//! Forwarding to an HTTP server beside the connector.

use crate::world::{BODY, Edge, TIMING, bytes, name};
use http::Request;
use portunus_core::dialer::{DialError, Dialer, full};
use portunus_tunnel::target::HttpTarget;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use url::Url;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_target_gets_each_request_once_with_its_own_host_and_no_hop_by_hop_headers() {
    let edge = Edge::start(TIMING).await;
    let (seen, mut requests) = mpsc::unbounded_channel();
    let port = upstream(move |head| {
        seen.send(head.to_owned()).unwrap();
        Some(
            "HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nX-End: 2\r\nContent-Length: 2\r\n\r\nok"
                .to_owned(),
        )
    })
    .await;
    let target =
        HttpTarget::new(&Url::parse(&format!("http://127.0.0.1:{port}/base/mcp")).unwrap(), None).unwrap();
    let _running = edge.connect("sales", "a", 1, target).await;
    let dialer = edge.registry.dialer(&name("sales"));
    let request = |path: &str| {
        Request::post(path)
            .header("host", "evil.example")
            .header("connection", "close")
            .header("x-end", "1")
            .body(full(BODY))
            .unwrap()
    };
    for path in ["/mcp?x=1", "/mcp"] {
        let answer = dialer.send(request(path)).await.unwrap();
        assert!(answer.headers().get("x-hop").is_none() && answer.headers().get("connection").is_none());
        assert_eq!(answer.headers()["x-end"], "2");
        assert_eq!(bytes(answer).await, "ok");
        let head = requests.recv().await.unwrap().to_ascii_lowercase();
        assert!(
            head.starts_with(&format!("post {} http/1.1\r\n", path.replace("/mcp", "/base/mcp"))),
            "{head}"
        );
        assert!(head.contains(&format!("host: 127.0.0.1:{port}\r\n")) && head.contains("x-end: 1"), "{head}");
        assert!(
            !head.contains("evil") && !head.contains("connection:") && !head.contains("transfer-encoding"),
            "{head}"
        );
    }
    // Nothing outside the target's own path can be reached.
    for path in ["/", "/base/mcp", "/mcp/../admin", "/mcpx", "//mcp"] {
        assert_eq!(dialer.send(request(path)).await.unwrap().status(), 404, "{path}");
    }
    assert!(requests.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_down_is_unreachable_and_one_that_hangs_up_broke_and_saw_one_request() {
    let edge = Edge::start(TIMING).await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let target = HttpTarget::new(&Url::parse(&format!("http://127.0.0.1:{gone}")).unwrap(), None).unwrap();
    let _down = edge.connect("down", "a", 1, target).await;
    let refused = edge.call("down", BODY).await.err();
    assert!(matches!(refused, Some(DialError::Unreachable(_))), "{refused:?}");

    let seen = Arc::new(AtomicUsize::new(0));
    let counting = seen.clone();
    let port = upstream(move |_| {
        let first = counting.fetch_add(1, Ordering::SeqCst) == 0;
        first.then(|| "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned())
    })
    .await;
    let target = HttpTarget::new(&Url::parse(&format!("http://127.0.0.1:{port}")).unwrap(), None).unwrap();
    let _rude = edge.connect("rude", "b", 1, target).await;
    assert_eq!(bytes(edge.call("rude", BODY).await.unwrap()).await, "ok");
    // The kept connection takes the second request and hangs up without an answer.
    let broken = edge.call("rude", BODY).await.err();
    assert!(matches!(broken, Some(DialError::Broken(_))), "{broken:?}");
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[test]
fn targets_that_would_be_read_differently_are_refused() {
    for bad in ["ftp://a/", "http://u:p@a/", "http://a/?q", "http://a/#f", "unix:/x"] {
        assert!(HttpTarget::new(&Url::parse(bad).unwrap(), None).is_err(), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_call_takes_less_than_a_few_milliseconds() {
    let edge = Edge::start(TIMING).await;
    let port = upstream(|_| Some("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned())).await;
    let target =
        HttpTarget::new(&Url::parse(&format!("http://127.0.0.1:{port}/mcp")).unwrap(), None).unwrap();
    let _running = edge.connect("sales", "a", 1, target).await;
    let dialer = edge.registry.dialer(&name("sales"));
    let mut times = Vec::new();
    for _ in 0..500 {
        let start = Instant::now();
        let answer = dialer.send(Request::post("/mcp").body(full(BODY)).unwrap()).await.unwrap();
        assert_eq!(bytes(answer).await, "ok");
        times.push(start.elapsed());
    }
    times.sort();
    println!("tunnel and target: p50 {:?}, p99 {:?}", times[250], times[495]);
    assert!(times[250] < Duration::from_millis(10), "{:?}", times[250]);
}

/// An HTTP/1.1 server that answers each request with this text, or hangs up.
async fn upstream(answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut buffer = Vec::new();
                while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
                    let text = String::from_utf8_lossy(&buffer).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    if body.len() < BODY.len() {
                        continue;
                    }
                    buffer.clear();
                    match answer(&format!("{head}\r\n")) {
                        Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                        None => return,
                    }
                }
            });
        }
    });
    port
}
