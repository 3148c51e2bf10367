//! The files of the demo: configuration, policies, the sample database.

use std::path::Path;

const POLICIES: &str = r#"// The demo's policies. Edit and save: the next call is decided by the new ones.
// Check them with: portunus policy check -c portunus.yaml

// Analysts may look at the sales database.
@id("analysts-read")
permit (principal in Group::"analysts", action in Action::"read", resource == Server::"sales");

// They may also change it ...
@id("analysts-write")
permit (principal in Group::"analysts", action == Action::"sales/write_query", resource == Server::"sales");

// ... once a person has approved exactly this change ...
@id("ask-before-writes")
@approvable("owner")
@reason("Changes to the sales database need a person's approval.")
forbid (principal, action in Action::"write", resource == Server::"sales")
unless { context has approval };

// ... but nobody changes its structure.
@id("never-change-structure")
@reason("Dropping, creating or altering tables is never allowed.")
forbid (principal, action == Action::"sales/write_query", resource == Server::"sales")
when { context has sql && context.sql.kinds.containsAny(["drop", "create", "alter", "truncate", "attach", "pragma", "vacuum"]) };

// Salaries are shown to nobody, phone numbers to support only.
@id("salaries-are-private")
forbid (principal, action == Action::"disclose", resource == Column::"sales/staff.salary");

@id("phones-for-support")
forbid (principal, action == Action::"disclose", resource == Column::"sales/customers.phone")
unless { principal in Group::"support" };
"#;

const TESTS: &str = r"# Cases for: portunus policy test -c portunus.yaml
- name: an analyst reads
  user: ana
  groups: [analysts]
  server: sales
  tool: read_query
  arguments: { sql: SELECT 1 }
  expect: permit
- name: a stranger does not
  user: eve
  server: sales
  tool: read_query
  arguments: { sql: SELECT 1 }
  expect: refuse
- name: a write asks first
  user: ana
  groups: [analysts]
  server: sales
  tool: write_query
  arguments: { sql: DELETE FROM orders WHERE id = 1 }
  expect: approval
  reason: person's approval
- name: an approved write goes through
  user: ana
  groups: [analysts]
  server: sales
  tool: write_query
  arguments: { sql: DELETE FROM orders WHERE id = 1 }
  approval: true
  expect: permit
- name: no approval lets a table be dropped
  user: ana
  groups: [analysts]
  server: sales
  tool: write_query
  arguments: { sql: DROP TABLE orders }
  approval: true
  expect: refuse
  reason: never allowed
";

/// Writes what is missing; what a person has edited stays.
pub(crate) fn write(state: &Path, port: u16, https: &str, admin: &str) -> Result<(), String> {
    let text = |what: &str, error: &dyn std::fmt::Display| format!("{}/{what}: {error}", state.display());
    std::fs::create_dir_all(state.join("policies")).map_err(|e| text("policies", &e))?;
    restrict(state).map_err(|e| text("", &e))?;
    let config = format!(
        "# The demo's configuration; see `portunus config schema`.\n\
         public_url: https://localhost:{port}\n\
         listen: {{ https: '{https}', admin: '{admin}' }}\n\
         tls: {{ local_ca: true }}\n\
         store: sqlite:portunus.db\n\
         sealing_key: {{ file: sealing.key }}\n\
         login: {{ local: true }}\n\
         policies: ./policies\n\
         servers:\n\
         \x20 - name: sales\n\
         \x20   title: Sales database\n\
         \x20   owner: olga@example.com\n\
         \x20   purpose: Questions about customers, orders and products\n\
         \x20   environment: development\n\
         \x20   upstream: tunnel\n\
         \x20   tools: sql\n"
    );
    // The addresses come from the command line each time, so this one file is always the demo's own.
    std::fs::write(state.join("portunus.yaml"), config).map_err(|e| text("portunus.yaml", &e))?;
    for (name, content) in [("policies/demo.cedar", POLICIES), ("policies/demo.test.yaml", TESTS)] {
        let path = state.join(name);
        if !path.exists() {
            std::fs::write(&path, content).map_err(|e| text(name, &e))?;
        }
    }
    let database = state.join("shop.db");
    if !database.exists() {
        portunus_sqlite::sample::create(&database).map_err(|e| text("shop.db", &e))?;
    }
    Ok(())
}

#[cfg(unix)]
fn restrict(state: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(state, std::fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn restrict(_state: &Path) -> std::io::Result<()> {
    Ok(())
}
