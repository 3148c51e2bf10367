//! `docs/compatibility.md`: a row for each client that danced, made of what it did. A test that finds other rows than it
//! has just seen fails; with `UPDATE=1` it writes its own.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

const HEAD: &str = "# Which clients work with which upstreams

Each row is what one client did in a test, from the URL alone: it found the authorization server, registered, a person
signed in and agreed, it called a tool (**calls**); when its access token had ended it got a new one without the person
(**refreshes**); when the grant was revoked it asked the person again, and called (**asks again**).

The tests in `crates/cli/tests/e2e/dance.rs` make this page and fail when it says anything else than what they see. After a
change: `UPDATE=1 cargo nextest run -p portunus-cli --test e2e dance::`.

| client | MCP | registration | upstream | calls | refreshes | asks again |
|---|---|---|---|---|---|---|
";

/// What one client did, in one era, before one kind of upstream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row(String);

impl Row {
    /// From what a script printed.
    pub(crate) fn of(said: &Value, upstream: &str) -> Self {
        let text = |name: &str| said[name].as_str().unwrap_or_else(|| panic!("no {name} in {said}"));
        let done = |name: &str| if said[name] == true { "yes" } else { "no" };
        Self(format!(
            "| {} | {} | {} | {upstream} | {} | {} | {} |",
            text("client"),
            text("era"),
            text("registration"),
            done("call"),
            done("refresh"),
            done("again")
        ))
    }

    fn cell(&self, index: usize) -> &str {
        self.0.split('|').nth(index + 1).unwrap_or_default().trim()
    }

    /// Whether it is of this client, whatever its version, before this upstream.
    fn is_of(&self, client: &str, upstream: &str) -> bool {
        self.is_of_client(client) && self.cell(3) == upstream
    }

    fn is_of_client(&self, client: &str) -> bool {
        self.cell(0).strip_prefix(client).is_some_and(|rest| rest.starts_with(' '))
    }
}

/// Holds the page against the rows of one client before one upstream, or writes them.
pub(crate) fn check(client: &str, upstream: &str, rows: &[Row]) {
    assert!(rows.iter().all(|row| row.is_of(client, upstream)), "{client}, {upstream}: {rows:?}");
    let mut file = open();
    // The tests run in processes of their own, at the same time.
    file.lock().unwrap();
    let mut page = String::new();
    file.read_to_string(&mut page).unwrap();
    let all = rows_of(&page);
    let seen: BTreeSet<Row> = rows.iter().cloned().collect();
    let said: BTreeSet<Row> = all.iter().filter(|row| row.is_of(client, upstream)).cloned().collect();
    if std::env::var_os("UPDATE").is_some() {
        let others = all.into_iter().filter(|row| !row.is_of(client, upstream));
        let rows: BTreeSet<Row> = others.chain(seen).collect();
        let rows: String = rows.iter().map(|row| format!("{}\n", row.0)).collect();
        file.set_len(0).unwrap();
        file.rewind().unwrap();
        file.write_all(format!("{HEAD}{rows}").as_bytes()).unwrap();
        return;
    }
    assert_eq!(said, seen, "docs/compatibility.md is stale; run the tests of `dance` with UPDATE=1");
    assert!(page.starts_with(HEAD), "docs/compatibility.md is stale; run the tests of `dance` with UPDATE=1");
}

/// Every row is of one of these clients.
pub(crate) fn check_clients(clients: &[&str]) {
    let mut page = String::new();
    open().read_to_string(&mut page).unwrap();
    for row in rows_of(&page) {
        assert!(
            clients.iter().any(|client| row.is_of_client(client)),
            "nobody dances as {row:?} any more; delete it"
        );
    }
}

fn rows_of(page: &str) -> Vec<Row> {
    let rows = page.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| Row(row.to_owned())).collect()
}

fn open() -> File {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}
