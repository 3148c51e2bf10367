//! A browser without script, for walks through the pages of an edge and of identity providers.

use crate::app::App;
use crate::http::{Http, Reply};
use crate::oauth::{REDIRECT, forms};
use bytes::Bytes;
use http::Request;
use std::collections::BTreeMap;
use url::Url;

/// A browser without script: a cookie jar for each origin, redirects followed across origins.
pub(crate) struct Browser {
    pub(crate) http: Http,
    pub(crate) cookies: BTreeMap<String, BTreeMap<String, String>>,
}

/// Where a browser is.
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) reply: Reply,
}

impl Page {
    pub(crate) fn text(&self) -> String {
        self.reply.text()
    }
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    }
}

impl Browser {
    /// One that trusts this edge, and has been nowhere yet.
    pub(crate) fn new(app: &App) -> Self {
        Self { http: app.http(), cookies: BTreeMap::new() }
    }

    /// One in which somebody signed in for the first time, and chose a password.
    pub(crate) async fn of(app: &App, name: &str, one_time_password: &str) -> Self {
        let mut browser = Self::new(app);
        let page = browser.get(&format!("{}/login", app.url)).await;
        let page =
            browser.submit(&page, "/login", &[("username", name), ("password", one_time_password)]).await;
        let own = "four unrelated words";
        let fields =
            [("current_password", one_time_password), ("new_password", own), ("repeat_password", own)];
        let page = browser.submit(&page, "/account/password", &fields).await;
        assert!(page.text().contains(name), "{}", page.text());
        browser
    }

    pub(crate) async fn get(&mut self, url: &str) -> Page {
        self.follow(Request::get(url).body(Bytes::new()).unwrap()).await
    }

    /// Follows redirects, and stops at the client's own address.
    pub(crate) async fn follow(&mut self, mut request: Request<Bytes>) -> Page {
        for _ in 0..16 {
            let url = Url::parse(&request.uri().to_string()).unwrap();
            let reply = self.send(request).await;
            let Some(location) = reply.header("location") else { return Page { url, reply } };
            let next = url.join(location).unwrap();
            if next.as_str().starts_with(REDIRECT) {
                return Page { url: next, reply };
            }
            request = Request::get(next.as_str()).body(Bytes::new()).unwrap();
        }
        panic!("redirected without end");
    }

    pub(crate) async fn send(&mut self, mut request: Request<Bytes>) -> Reply {
        let origin = Url::parse(&request.uri().to_string()).unwrap().origin().ascii_serialization();
        let jar = self.cookies.entry(origin).or_default();
        if !jar.is_empty() {
            let pairs: Vec<_> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request.headers_mut().insert("cookie", pairs.join("; ").parse().unwrap());
        }
        let reply = self.http.send(request).await.unwrap();
        for line in reply.headers.get_all("set-cookie") {
            let (name, rest) = line.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if value.is_empty() {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
        reply
    }

    /// Sends the form of a page that has this action, with these fields besides its hidden ones.
    pub(crate) async fn submit(&mut self, page: &Page, action: &str, fields: &[(&str, &str)]) -> Page {
        self.follow(submission(page, action, fields)).await
    }

    /// Sends the first form of a page wherever it goes, with these fields besides its hidden ones.
    pub(crate) async fn fill(&mut self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let action = forms(&page.text()).into_iter().next().map(|form| form.action);
        let action = action.unwrap_or_else(|| panic!("no form at {}: {}", page.url, page.text()));
        self.submit(page, &action, fields).await
    }

    pub(crate) async fn sign_in(&mut self, url: &str) -> Page {
        let page = self.get(&format!("{url}/login")).await;
        self.submit(&page, "/login/oidc/start", &[("provider", "oidc")]).await
    }

    pub(crate) fn session(&self, app: &App) -> Option<String> {
        self.cookies.get(&app.url)?.get("__Host-portunus").cloned()
    }
}

pub(crate) fn submission(page: &Page, action: &str, fields: &[(&str, &str)]) -> Request<Bytes> {
    let forms = forms(&page.text());
    let form = forms.iter().find(|form| form.action == action);
    let form = form.unwrap_or_else(|| panic!("no form for {action} at {}: {}", page.url, page.text()));
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    for field in form.fields.iter().filter(|field| field["type"] == "hidden") {
        body.append_pair(&field["name"], &field["value"]);
    }
    body.extend_pairs(fields);
    Request::post(page.url.join(action).unwrap().as_str())
        .header("content-type", "application/x-www-form-urlencoded")
        .header("origin", page.url.origin().ascii_serialization())
        .body(body.finish().into())
        .unwrap()
}
