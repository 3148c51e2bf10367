"""The Python SDK in front of a server of the other protocol era: list, call, be asked.

PORTUNUS_URL=… PORTUNUS_TOKEN=… SSL_CERT_FILE=… python client.py auto|legacy
"""

import asyncio
import os
import sys

import httpx2
import mcp_types as types
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

URL = os.environ["PORTUNUS_URL"]
HEADERS = {"authorization": f"Bearer {os.environ['PORTUNUS_TOKEN']}"}
VERSIONS = {"auto": "2026-07-28", "legacy": "2025-"}


async def answer(_context, params) -> types.ElicitResult:
    assert params.message == "Who are you?", params
    return types.ElicitResult(action="accept", content={"name": "Ana"})


async def main(mode: str) -> None:
    seen = []

    async def progress(done: float, _total: float | None, _message: str | None) -> None:
        seen.append(done)

    async with httpx2.AsyncClient(headers=HEADERS, timeout=30) as http:
        transport = streamable_http_client(URL, http_client=http)
        async with Client(transport, mode=mode, read_timeout_seconds=60, elicitation_callback=answer) as client:
            assert client.protocol_version.startswith(VERSIONS[mode]), client.protocol_version
            tools = [tool.name for tool in (await client.list_tools()).tools]
            assert {"add", "count", "greet"} <= set(tools), tools
            total = await client.call_tool("add", {"a": 2, "b": 3})
            assert total.content[0].text == "5", total
            counted = await client.call_tool("count", {"to": 3}, progress_callback=progress)
            assert counted.content[0].text == "counted to 3" and seen == [1, 2, 3], (counted, seen)
            greeted = await client.call_tool("greet", {})
            assert greeted.content[0].text == "hello Ana", greeted
            contents = (await client.read_resource("note://1")).contents
            assert contents[0].text == "a note", contents
    print(f"python {mode}: list, call, progress, elicitation, resource work with {VERSIONS[mode]}")


asyncio.run(main(sys.argv[1]))
