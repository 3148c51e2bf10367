//! The server over standard input and output, as a child process of rmcp's own client, in both protocol eras. Has a
//! `main` of its own because a test harness writes to standard output too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use rmcp::transport::TokioChildProcess;
use rmcp::{ClientLifecycleMode, ClientServiceExt};
use serde_json::json;

#[tokio::main]
async fn main() {
    match std::env::var_os("SERVE") {
        Some(path) => serve(path.into()).await,
        None if std::env::args().any(|argument| argument == "--list") => {
            println!("a_client_of_either_era_queries_over_stdio: test");
        }
        None => a_client_of_either_era_queries_over_stdio().await,
    }
}

async fn serve(path: std::path::PathBuf) {
    let server = portunus_sqlite::SqlServer::open(portunus_sqlite::Options::new(path)).unwrap();
    server.serve_stdio().await.unwrap();
}

async fn a_client_of_either_era_queries_over_stdio() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shop.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (42);")
        .unwrap();
    for era in [
        ClientLifecycleMode::Initialize,
        ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] },
    ] {
        let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
        command.env("SERVE", &path);
        let client = ().serve_with_lifecycle(TokioChildProcess::new(command).unwrap(), era).await.unwrap();
        assert_eq!(client.list_all_tools().await.unwrap().len(), 4);
        let arguments = json!({ "sql": "SELECT x FROM t" }).as_object().unwrap().clone();
        let call = CallToolRequestParams::new("read_query").with_arguments(arguments);
        let result = client.call_tool(call).await.unwrap();
        assert_eq!(result.structured_content.unwrap()["rows"], json!([[42]]));
        client.cancel().await.unwrap();
    }
    println!("a_client_of_either_era_queries_over_stdio ... ok");
}
