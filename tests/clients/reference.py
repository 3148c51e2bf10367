"""The reference server of the conformance test: what the suite's scenarios ask of a server, on the Python SDK's own
transport, sessions and event store. It knows nothing of Portunus.

    python reference.py PORT
"""

import asyncio
import json
import sys

from mcp import types
from mcp.server.mcpserver import Context, MCPServer, RequestStateSecurity
from mcp.server.mcpserver.prompts.base import Prompt, UserMessage
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, Field

from reference_tasks import Tasks

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
SILENCE = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="


class Events(EventStore):
    """Every event of every stream, so that a client that comes back misses none."""

    def __init__(self):
        self.kept = []

    async def store_event(self, stream_id, message):
        self.kept.append((stream_id, message))
        return f"e{len(self.kept)}"

    async def replay_events_after(self, last_event_id, send_callback):
        last = int(last_event_id[1:])
        stream = self.kept[last - 1][0]
        for number, (of, message) in enumerate(list(self.kept), 1):
            if number > last and of == stream and message is not None:
                await send_callback(EventMessage(message, f"e{number}"))
        return stream


server = MCPServer(
    name="reference",
    extensions=[Tasks()],
    version="1.0.0",
    request_state_security=RequestStateSecurity(keys=[b"only for tests, and long enough to be a key"]),
)


def tool(function):
    return server.tool(description=function.__name__.replace("_", " "))(function)


def prompt(function):
    return server.prompt(description=function.__name__.replace("_", " "))(function)


def text(words):
    return types.TextContent(type="text", text=words)


def image():
    return types.ImageContent(type="image", data=PIXEL, mime_type="image/png")


def embedded(uri, words, mime="text/plain"):
    resource = types.TextResourceContents(uri=uri, mime_type=mime, text=words)
    return types.EmbeddedResource(type="resource", resource=resource)


# --- plain results


@tool
def test_simple_text() -> str:
    return "This is a simple text response for testing."


@tool
def test_image_content() -> list[types.ImageContent]:
    return [image()]


@tool
def test_audio_content() -> list[types.AudioContent]:
    return [types.AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")]


@tool
def test_embedded_resource() -> list[types.EmbeddedResource]:
    return [embedded("test://embedded-resource", "This is an embedded resource content.")]


@tool
def test_multiple_content_types() -> list[types.TextContent | types.ImageContent | types.EmbeddedResource]:
    data = embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json")
    return [text("Multiple content types test:"), image(), data]


@tool
def test_error_handling() -> str:
    raise RuntimeError("This tool intentionally returns an error for testing")


@tool
def test_x_mcp_header(
    region: str = Field(default="", json_schema_extra={"x-mcp-header": "Region"}),
    shelf: int = Field(default=0, json_schema_extra={"x-mcp-header": "Shelf"}),
) -> str:
    return f"{region} {shelf}"


@tool
def json_schema_2020_12_tool() -> str:
    return "Its input schema is what matters."


# Decorators cannot say such a schema.
server._tool_manager._tools["json_schema_2020_12_tool"].parameters = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


# --- messages on the way to a result


@tool
async def test_tool_with_logging(ctx: Context) -> str:
    for step in ("started", "processing data", "completed"):
        await ctx.info(f"Tool {step}")
        await asyncio.sleep(0.05)
    return "logged"


@tool
async def test_tool_with_progress(ctx: Context) -> str:
    for done in (0, 50, 100):
        await ctx.report_progress(progress=done, total=100, message=f"Completed step {done} of 100")
        await asyncio.sleep(0.05)
    return "progressed"


@tool
async def test_reconnection(ctx: Context) -> str:
    await ctx.info("Before the stream closes")
    await ctx.close_sse_stream()
    await asyncio.sleep(0.2)
    await ctx.info("After the client came back")
    return "reconnected"


@tool
async def test_trigger_tool_change(ctx: Context) -> str:
    server.add_tool(lambda: "soon gone", name="test_passing_tool")
    server.remove_tool("test_passing_tool")
    await ctx.notify_tools_changed()
    return "tools changed"


@tool
async def test_trigger_prompt_change(ctx: Context) -> str:
    server.add_prompt(Prompt.from_function(lambda: "soon gone", name="test_passing_prompt", description="passing"))
    server.remove_prompt("test_passing_prompt")
    await ctx.notify_prompts_changed()
    return "prompts changed"


# --- questions to the client, as requests of the legacy era


@tool
async def test_sampling(prompt: str, ctx: Context) -> str:
    message = types.SamplingMessage(role="user", content=text(prompt))
    asked = ctx.session.create_message(messages=[message], max_tokens=100, related_request_id=ctx.request_id)
    return f"LLM response: {(await asked).content.text}"


async def ask(ctx, message, schema):
    result = await ctx.elicit(message=message, schema=schema)
    content = result.data.model_dump_json() if result.action == "accept" else "{}"
    return f"action={result.action}, content={content}"


class Answer(BaseModel):
    response: str = Field(description="The user's response")


@tool
async def test_elicitation(message: str, ctx: Context) -> str:
    return f"User response: {await ask(ctx, message, Answer)}"


class Defaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: str = Field(default="active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = True


@tool
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    return f"Elicitation completed: {await ask(ctx, 'Please provide user information', Defaults)}"


def choices(*titles):
    return [{"const": title.split()[0].lower(), "title": title} for title in titles]


class Choices(BaseModel):
    untitledSingle: str = Field(json_schema_extra={"enum": ["one", "two", "three"]})
    titledSingle: str = Field(json_schema_extra={"oneOf": choices("Low Priority", "High Priority")})
    untitledMulti: list[str] = Field(json_schema_extra={"items": {"type": "string", "enum": ["read", "write"]}})
    titledMulti: list[str] = Field(json_schema_extra={"items": {"anyOf": choices("Bug Fix", "Docs Page")}})
    legacyEnum: str = Field(json_schema_extra={"enum": ["s", "m"], "enumNames": ["Small Size", "Medium Size"]})


@tool
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    return f"Elicitation completed: {await ask(ctx, 'Please choose', Choices)}"


# --- questions to the client, as results of the modern era


def question(message, **properties):
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def name_question():
    return question("What is your name?", name={"type": "string"})


def ok_question():
    return question("Please confirm", ok={"type": "boolean"})


def sampling(words):
    message = types.SamplingMessage(role="user", content=text(words))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=50))


def required(state=None, **requests):
    return types.InputRequiredResult(input_requests=requests, request_state=state)


def answered(ctx, *names):
    """The client's answers when it gave all of these, of the kinds that were asked for."""
    given = ctx.input_responses or {}
    return [given[name] for name in names] if all(name in given for name in names) else None


def content(answer, key):
    return (answer.content or {}).get(key) if isinstance(answer, types.ElicitResult) else None


@tool
async def test_input_required_result_elicitation(ctx: Context) -> str | types.InputRequiredResult:
    answers = answered(ctx, "user_name")
    return f"Hello, {content(answers[0], 'name')}!" if answers else required(user_name=name_question())


@tool
async def test_input_required_result_sampling(ctx: Context) -> str | types.InputRequiredResult:
    answers = answered(ctx, "capital_question")
    return f"It says {answers[0].content.text}" if answers else required(capital_question=sampling("Capital of France?"))


@tool
async def test_input_required_result_list_roots(ctx: Context) -> str | types.InputRequiredResult:
    answers = answered(ctx, "client_roots")
    return f"{len(answers[0].roots)} roots" if answers else required(client_roots=types.ListRootsRequest())


@tool
async def test_input_required_result_request_state(ctx: Context) -> str | types.InputRequiredResult:
    if answered(ctx, "confirm") and ctx.request_state == "asked":
        return "state-ok"
    return required("asked", confirm=ok_question())


@tool
async def test_input_required_result_multiple_inputs(ctx: Context) -> str | types.InputRequiredResult:
    if answered(ctx, "user_name", "greeting", "client_roots"):
        return "all are here"
    roots = types.ListRootsRequest()
    return required("three", user_name=name_question(), greeting=sampling("Greet"), client_roots=roots)


@tool
async def test_input_required_result_multi_round(ctx: Context) -> str | types.InputRequiredResult:
    state = json.loads(ctx.request_state or "{}")
    if "name" in state and (second := answered(ctx, "step2")):
        return f"{state['name']} likes {content(second[0], 'color')}"
    if state and (first := answered(ctx, "step1")):
        name = json.dumps({"name": content(first[0], "name")})
        return required(name, step2=question("Step 2: your favourite colour?", color={"type": "string"}))
    return required('{"round":1}', step1=name_question())


@tool
async def test_input_required_result_tampered_state(ctx: Context) -> str | types.InputRequiredResult:
    return f"state-ok: {ctx.request_state}" if ctx.request_state else required("first", confirm=ok_question())


@tool
async def test_input_required_result_capabilities(ctx: Context) -> types.InputRequiredResult:
    can = ctx.client_capabilities
    asked = {"sample": sampling("Say hello")} if can and can.sampling else {}
    asked |= {"ask": name_question()} if can and can.elicitation else {}
    return required("gated", **asked)


@tool
async def test_missing_capability(ctx: Context) -> str:
    can = ctx.session.client_capabilities
    if can is None or can.sampling is None:
        needed = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(code=types.MISSING_REQUIRED_CLIENT_CAPABILITY, message="sampling is needed", data=needed)
    return "sampling is there"


# --- resources, prompts, completion, and the legacy era's settings


@server.resource("test://static-text")
def static_text() -> str:
    return "This is the content of the static text resource."


@server.resource("test://static-binary")
def static_binary() -> bytes:
    return b"\x89PNG not really"


@server.resource("test://template/{id}/data")
def template(id: str) -> str:
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


@server.resource("test://watched-resource")
def watched() -> str:
    return "Watched"


@prompt
def test_simple_prompt() -> list[UserMessage]:
    return [UserMessage(content=text("This is a simple prompt for testing."))]


@prompt
def test_prompt_with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
    return [UserMessage(content=text(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))]


@prompt
def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
    data = embedded(resourceUri, "Embedded resource content for testing.")
    return [UserMessage(content=data), UserMessage(content=text("Please process the embedded resource above."))]


@prompt
def test_prompt_with_image() -> list[UserMessage]:
    return [UserMessage(content=image()), UserMessage(content=text("Please analyze the image above."))]


@prompt
async def test_input_required_result_prompt(ctx: Context) -> list[UserMessage] | types.InputRequiredResult:
    answers = answered(ctx, "user_context")
    if answers:
        return [UserMessage(content=text(f"In this context: {content(answers[0], 'context')}"))]
    return required(user_context=question("Which context?", context={"type": "string"}))


@server.completion()
async def complete(ref, argument, context):
    return types.Completion(values=[], total=0, has_more=False)


async def nothing(ctx, params):
    return types.EmptyResult()


for method, params in [
    ("logging/setLevel", types.SetLevelRequestParams),
    ("resources/subscribe", types.SubscribeRequestParams),
    ("resources/unsubscribe", types.UnsubscribeRequestParams),
]:
    server._lowlevel_server.add_request_handler(method, params, nothing)


if __name__ == "__main__":
    server.run(transport="streamable-http", port=int(sys.argv[1]), event_store=Events(), retry_interval=100)
