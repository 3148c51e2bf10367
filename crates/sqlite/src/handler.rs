//! The MCP server: lists the tools, runs them, gives out the widget. All that a call does goes through the pool.

use crate::assertion::Verified;
use crate::authorizer::Access;
use crate::decision::Decision;
use crate::describe::{self, Plan, TableDescription, TableList};
use crate::failure::Failure;
use crate::pool::Pool;
use crate::rows::{Page, Window, markdown, select};
use crate::tools::{self, QueryResult, WriteResult};
use crate::{Options, cursor, statement, trial, widget, write};
use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, Implementation,
    JsonObject, ListResourcesResult, ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams,
    ReadResourceResponse, ReadResourceResult, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The MCP server over one database; cheap to clone.
#[derive(Clone)]
pub(crate) struct Handler {
    pool: Arc<Pool>,
    tools: Arc<Vec<Tool>>,
    window: Window,
    demands_assertions: bool,
}

/// Who asks: what was decided about the call, and whether they still wait.
struct Asker {
    decision: Arc<Decision>,
    cancelled: CancellationToken,
}

const INSTRUCTIONS: &str = "A SQLite database. Call list_tables, then describe_table for the tables you need, then \
                            read_query. Errors say what to change. Columns reported as `masked` are hidden from you and \
                            read as NULL; values of `treated` ones are shown in another form, and only where they are \
                            selected plainly.";

impl Handler {
    pub(crate) fn new(pool: Arc<Pool>, options: &Options) -> Self {
        let window = Window { offset: 0, rows: options.max_rows, bytes: options.max_bytes };
        let tools = Arc::new(tools::all(options.write, options.max_rows));
        Self { pool, tools, window, demands_assertions: false }
    }
    /// No tool runs any more without a verified assertion.
    pub(crate) fn demand_assertions(&mut self) {
        self.demands_assertions = true;
    }

    async fn call(&self, name: &str, arguments: JsonObject, asker: Asker) -> Result<CallToolResult, Failure> {
        if asker.decision.trial != (name == tools::TRIAL) {
            return Err(Failure::NoTrial);
        }
        match name {
            tools::LIST_TABLES => {
                let tools::NoArguments {} = parse(arguments)?;
                let list = self.read(asker.looking(), describe::list_tables).await?;
                Ok(answer(list_text(&list), &list))
            }
            tools::DESCRIBE_TABLE => {
                let tools::TableArguments { table } = parse(arguments)?;
                let description =
                    self.read(asker.looking(), move |frame| describe::describe_table(frame, &table)).await?;
                Ok(answer(description_text(&description), &description))
            }
            tools::READ_QUERY => self.read_query(parse(arguments)?, asker).await,
            tools::EXPLAIN_QUERY => {
                let tools::StatementArguments { sql, params } = parse(arguments)?;
                let params = statement::parameters(&params)?;
                let plan =
                    self.read(asker, move |frame| describe::explain_query(frame, &sql, &params)).await?;
                Ok(answer(plan_text(&plan), &plan))
            }
            _ => self.write_query(parse(arguments)?, asker).await,
        }
    }

    async fn read_query(
        &self,
        arguments: tools::ReadArguments,
        asker: Asker,
    ) -> Result<CallToolResult, Failure> {
        let tools::ReadArguments { sql, params, cursor } = arguments;
        let binding = binding(&sql, &params, &asker.decision);
        let params = statement::parameters(&params)?;
        let offset = cursor.map_or(Ok(0), |cursor| cursor::read(&cursor, &binding))?;
        let window = Window { offset, ..self.window }.within(&asker.decision);
        let work = move |frame: &crate::session::Frame<'_>| {
            let page = select(frame, &sql, &params, window)?;
            let (masked, treated) = frame.witness.columns();
            let treatment =
                |name: &String| frame.mask.and_then(|mask| mask.treatment_of(frame.catalog, name));
            let treated = treated.iter().filter_map(|name| Some((name.clone(), treatment(name)?.name())));
            Ok((page, masked.into_iter().collect(), treated.collect()))
        };
        let (page, masked, treated): (Page, Vec<String>, BTreeMap<String, &'static str>) =
            self.read(asker, work).await?;
        let row_count = page.rows.len();
        let next = page.more.then(|| cursor::make(offset.saturating_add(row_count as u64), &binding));
        let result = QueryResult {
            columns: page.columns,
            rows: page.rows,
            row_count,
            truncated: page.more,
            next_cursor: next,
            masked,
            treated,
        };
        Ok(answer(result_text(&result), &result))
    }

    async fn write_query(
        &self,
        arguments: tools::StatementArguments,
        asker: Asker,
    ) -> Result<CallToolResult, Failure> {
        let tools::StatementArguments { sql, params } = arguments;
        let params = statement::parameters(&params)?;
        let Asker { decision, cancelled } = asker;
        let result = if decision.trial {
            let work = move |frame: &crate::session::Frame<'_>| trial::trial(frame, &sql, &params);
            let estimate = self.pool.run(Access::Write, decision, &cancelled, work).await?;
            WriteResult {
                rows_changed: estimate.rows_changed,
                trial: true,
                tables: Some(estimate.tables),
                ..WriteResult::default()
            }
        } else {
            let window = self.window.within(&decision);
            let work = move |frame: &crate::session::Frame<'_>| write::write(frame, &sql, &params, window);
            let changes = self.pool.run(Access::Write, decision, &cancelled, work).await?;
            WriteResult {
                rows_changed: changes.rows_changed,
                columns: changes.returned.columns,
                rows: changes.returned.rows,
                truncated: changes.returned.more,
                ..WriteResult::default()
            }
        };
        Ok(answer(changes_text(&result), &result))
    }

    async fn read<T: Send + 'static>(
        &self,
        asker: Asker,
        work: impl FnOnce(&crate::session::Frame<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.pool.run(Access::Read, asker.decision, &asker.cancelled, work).await
    }

    /// What the assertion of this request says, which the HTTP side has verified; nobody else can put one there.
    fn asker(&self, tool: &str, context: &RequestContext<RoleServer>) -> Result<Asker, ErrorData> {
        let parts = context.extensions.get::<::http::request::Parts>();
        let verified = parts.and_then(|parts| parts.extensions.get::<Verified>());
        let decision = match verified {
            Some(verified) if verified.tool.as_deref() == Some(tool) => Arc::clone(&verified.decision),
            Some(_) => {
                return Err(ErrorData::invalid_request("the Portunus-Assertion is for another tool", None));
            }
            None if self.demands_assertions => {
                return Err(ErrorData::invalid_request("the request carries no Portunus-Assertion", None));
            }
            None => Arc::default(),
        };
        Ok(Asker { decision, cancelled: context.ct.clone() })
    }
}

impl Asker {
    /// For a tool that makes its own statements.
    fn looking(self) -> Self {
        Self { decision: Arc::new(self.decision.without_sql()), ..self }
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_resources().build();
        let implementation =
            Implementation::new("portunus-sqlite", env!("CARGO_PKG_VERSION")).with_title("SQLite database");
        ServerConfig::new(capabilities).with_server_info(implementation).with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools.as_ref().clone()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        // Trials are not listed, and only the gateway's assertion opens them.
        let listed = if request.name == tools::TRIAL { tools::WRITE_QUERY } else { &*request.name };
        if !self.tools.iter().any(|tool| tool.name == listed) {
            return Err(ErrorData::invalid_params(format!("there is no tool `{}`", request.name), None));
        }
        let asker = self.asker(&request.name, &context)?;
        let outcome = self.call(&request.name, request.arguments.unwrap_or_default(), asker).await;
        let result = outcome.unwrap_or_else(|failure| {
            tracing::debug!(tool = %request.name, %failure, "tool call failed");
            CallToolResult::error(vec![ContentBlock::text(failure.to_string())])
        });
        Ok(result.into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(vec![widget::resource()]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if request.uri != widget::URI {
            return Err(ErrorData::resource_not_found(
                "there is no such resource; resources/list names them",
                None,
            ));
        }
        Ok(ReadResourceResult::new(vec![widget::contents()]).into())
    }
}

fn parse<T: DeserializeOwned>(arguments: JsonObject) -> Result<T, Failure> {
    serde_json::from_value(Json::Object(arguments)).map_err(|error| Failure::Arguments(error.to_string()))
}

/// What a cursor is bound to, unambiguously.
fn binding(sql: &str, params: &[Json], decision: &Decision) -> Vec<u8> {
    format!("{}:{sql}{}{:?}", sql.len(), Json::from(params), decision.mask).into_bytes()
}

fn answer(text: String, structured: &impl Serialize) -> CallToolResult {
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.structured_content = serde_json::to_value(structured).ok();
    result
}

fn list_text(list: &TableList) -> String {
    let rows: Vec<Vec<Json>> = list
        .tables
        .iter()
        .map(|table| {
            vec![table.name.as_str().into(), table.kind.into(), table.columns.into(), table.rows.into()]
        })
        .collect();
    let note = if list.truncated { "\n\nThere are more tables than are listed." } else { "" };
    format!("{}{note}", markdown(["table", "kind", "columns", "rows"], &rows))
}

fn description_text(table: &TableDescription) -> String {
    let rows: Vec<Vec<Json>> = table.columns.iter().map(column_row).collect();
    let count = table.rows.map_or_else(|| String::from("not counted"), |rows| rows.to_string());
    let header = ["column", "type", "notes", "sample values"];
    let mut text = format!("{} `{}`, rows: {count}\n\n{}", table.kind, table.name, markdown(header, &rows));
    for key in &table.foreign_keys {
        let to = key.to.as_deref().unwrap_or("its primary key");
        text.push_str(&format!("\n- `{}` refers to `{}` ({to})", key.column, key.table));
    }
    for index in &table.indexes {
        let unique = if index.unique { "unique index" } else { "index" };
        text.push_str(&format!("\n- {unique} `{}` on ({})", index.name, index.columns.join(", ")));
    }
    text.push_str(&masked_note(&table.masked));
    text
}

fn column_row(column: &describe::ColumnDescription) -> Vec<Json> {
    let notes = [
        (column.primary_key.is_some(), "primary key"),
        (column.not_null, "not null"),
        (column.generated, "generated"),
        (column.masked, "masked"),
    ];
    let mut notes: Vec<&str> = notes.into_iter().filter(|(holds, _)| *holds).map(|(_, note)| note).collect();
    if let Some(treatment) = column.treated {
        notes.push(treatment);
    }
    let samples: Vec<String> = column.samples.iter().map(plain_text).collect();
    vec![
        column.name.as_str().into(),
        column.declared.as_str().into(),
        notes.join(", ").into(),
        samples.join("; ").into(),
    ]
}

fn plain_text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn plan_text(plan: &Plan) -> String {
    let warnings: String = plan.warnings.iter().map(|warning| format!("\n- {warning}")).collect();
    if warnings.is_empty() {
        plan.plan.clone()
    } else {
        format!("{}\n\nWhat makes it slow:{warnings}", plan.plan)
    }
}

fn result_text(result: &QueryResult) -> String {
    let mut text = markdown(result.columns.iter().map(|column| column.name.as_str()), &result.rows);
    match (&result.next_cursor, result.row_count) {
        (Some(cursor), count) => text.push_str(&format!(
            "\n\n{count} rows, and there are more: aggregate or add LIMIT, or call again with the same sql and params \
             and cursor \"{cursor}\"."
        )),
        (None, 1) => text.push_str("\n\n1 row."),
        (None, count) => text.push_str(&format!("\n\n{count} rows.")),
    }
    text.push_str(&masked_note(&result.masked));
    if !result.treated.is_empty() {
        let named: Vec<String> = result.treated.iter().map(|(name, how)| format!("{name} ({how})")).collect();
        text.push_str(&format!("\n\nShown in another form: {}.", named.join(", ")));
    }
    text
}

fn changes_text(result: &WriteResult) -> String {
    if result.trial {
        let tables = result.tables.iter().flatten().map(|(name, count)| format!("\n- `{name}`: {count}"));
        let tables: String = tables.collect();
        return format!("Only tried, nothing is changed: {} rows would change.{tables}", result.rows_changed);
    }
    let mut text = format!("{} rows changed.", result.rows_changed);
    if !result.columns.is_empty() {
        text.push_str("\n\n");
        text.push_str(&markdown(result.columns.iter().map(|column| column.name.as_str()), &result.rows));
    }
    if result.truncated {
        text.push_str("\n\nRETURNING gave more rows than fit here; all changes were made.");
    }
    text
}

fn masked_note(masked: &[String]) -> String {
    if masked.is_empty() {
        return String::new();
    }
    format!("\n\nMasked, hidden from you and read as NULL: {}.", masked.join(", "))
}
