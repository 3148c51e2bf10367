"""The tasks extension (SEP-2663) of the reference server, as the suite's scenarios ask for it, on the Python SDK's own
extension interface. It knows nothing of Portunus, and nothing of callers: every task is everybody's.
"""

import asyncio
import uuid
from datetime import UTC, datetime

from mcp import types
from mcp.server.extension import Extension, MethodBinding, ToolBinding
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError

ID = "io.modelcontextprotocol/tasks"
VERSIONS = frozenset({"2026-07-28"})
HEADER_MISMATCH = -32020


class TaskParams(types.RequestParams):
    taskId: str


class UpdateParams(TaskParams):
    inputResponses: dict


def greet(name: str) -> str:
    """greets at once"""
    return f"Hello, {name}!"


async def slow_compute(seconds: float = 0, label: str = "") -> str:
    """takes its time"""
    await asyncio.sleep(seconds)
    return f"computed {label}"


async def failing_job() -> str:
    """fails as a tool does"""
    await asyncio.sleep(0.3)
    raise RuntimeError("the job failed")


async def protocol_error_job() -> str:
    """fails as a server does"""
    raise MCPError(code=types.INTERNAL_ERROR, message="the server failed")


async def confirm_delete(filename: str = "") -> str:
    """asks before it deletes"""
    return f"deleted {filename}"


async def multi_input() -> str:
    """asks two things at once"""
    return "both answered"


async def test_tool_with_task(ctx: Context) -> str | types.InputRequiredResult:
    """asks first, then becomes a task"""
    answers = ctx.input_responses or {}
    if "user_name" not in answers:
        return types.InputRequiredResult(input_requests={"user_name": question("What is your name?", "name")})
    return f"Hello, {answers['user_name'].content['name']}!"


def question(message, key):
    schema = {"type": "object", "properties": {key: {"type": "string"}}, "required": [key]}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


#: What a task asks before its tool runs.
QUESTIONS = {
    "slow_compute": {},
    "failing_job": {},
    "protocol_error_job": {},
    "confirm_delete": {"confirm": question("Really?", "confirm")},
    "multi_input": {"first": question("First?", "name"), "second": question("Second?", "name")},
    "test_tool_with_task": {},
}
#: Tools that cannot run but as a task.
ALWAYS = {"failing_job", "test_tool_with_task"}


class Task:
    def __init__(self, pending):
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self.pending = {key: request.model_dump(by_alias=True, exclude_none=True) for key, request in pending.items()}
        self.answered = asyncio.Event()
        self.work = None
        self.shown = {"taskId": str(uuid.uuid4()), "status": "working", "createdAt": now, "lastUpdatedAt": now}
        self.shown |= {"ttlMs": 60_000, "pollIntervalMs": 100}
        self.await_answers()

    def await_answers(self):
        if self.pending:
            self.shown |= {"status": "input_required", "inputRequests": self.pending}
        else:
            self.shown.pop("inputRequests", None)
            self.answered.set()
            self.end("working")

    def end(self, status, **outcome):
        if self.shown["status"] in ("working", "input_required"):
            now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            self.shown |= {"status": status, "lastUpdatedAt": now} | outcome


class Tasks(Extension):
    identifier = ID

    def __init__(self):
        self.tasks = {}

    def tools(self):
        functions = [greet, slow_compute, failing_job, protocol_error_job, confirm_delete, multi_input]
        return [ToolBinding(function) for function in [*functions, test_tool_with_task]]

    def methods(self):
        return [
            MethodBinding("tasks/get", TaskParams, self.get, VERSIONS),
            MethodBinding("tasks/update", UpdateParams, self.update, VERSIONS),
            MethodBinding("tasks/cancel", TaskParams, self.cancel, VERSIONS),
        ]

    async def intercept_tool_call(self, params, ctx, call_next):
        if params.name not in QUESTIONS:
            return await call_next(ctx)
        if not declares(ctx):
            if params.name in ALWAYS:
                raise missing()
            return await call_next(ctx)
        if params.name == "test_tool_with_task" and not params.input_responses:
            return await call_next(ctx)
        task = Task(QUESTIONS[params.name])
        self.tasks[task.shown["taskId"]] = task
        task.work = asyncio.create_task(run(task, ctx, call_next))
        return {"resultType": "task"} | {key: task.shown[key] for key in task.shown if key != "inputRequests"}

    async def get(self, ctx, params):
        return {"resultType": "complete"} | self.find(ctx, params).shown

    async def update(self, ctx, params):
        task = self.find(ctx, params)
        for key in params.inputResponses:
            task.pending.pop(key, None)
        if task.shown["status"] == "input_required":
            task.await_answers()
        return {"resultType": "complete"}

    async def cancel(self, ctx, params):
        task = self.find(ctx, params)
        task.shown.pop("inputRequests", None)
        task.end("cancelled")
        task.work.cancel()
        return {"resultType": "complete"}

    def find(self, ctx, params):
        if ctx.request.headers.get("mcp-name") != params.taskId:
            raise MCPError(code=HEADER_MISMATCH, message="Mcp-Name must be the task's id")
        if not declares(ctx):
            raise missing()
        if params.taskId not in self.tasks:
            raise MCPError(code=types.INVALID_PARAMS, message="no such task")
        return self.tasks[params.taskId]


async def run(task, ctx, call_next):
    try:
        await task.answered.wait()
        result = await call_next(ctx)
        result = result if isinstance(result, dict) else result.model_dump(by_alias=True, exclude_none=True, mode="json")
        task.end("completed", result=result)
    except MCPError as error:
        task.end("failed", error={"code": error.error.code, "message": error.error.message})


def declares(ctx):
    capabilities = ctx.session.client_capabilities
    return capabilities is not None and ID in (capabilities.extensions or {})


def missing():
    needed = {"requiredCapabilities": {"extensions": {ID: {}}}}
    return MCPError(code=types.MISSING_REQUIRED_CLIENT_CAPABILITY, message="needs the tasks extension", data=needed)
