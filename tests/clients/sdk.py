"""The Python SDK with its own OAuth code, in both protocol eras, from the URL alone.

PORTUNUS_URL=… PORTUNUS_PERSON=… SSL_CERT_FILE=… python sdk.py [legacy|auto]

The person's part is person.mjs, run with the Node.js that PORTUNUS_NODE names.
"""

import asyncio
import os
import pathlib
import subprocess
import sys
from urllib.parse import parse_qs, urlparse

import httpx2
from mcp import Client, MCPError
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

URL = os.environ["PORTUNUS_URL"]
REDIRECT = "http://127.0.0.1:43118/callback"
PERSON = pathlib.Path(__file__).with_name("person.mjs")


class Memory:
    """What an application keeps for one server."""

    def __init__(self):
        self.tokens = None
        self.client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


class Person:
    """Visits the address the SDK asks for and hands back what the redirect carried."""

    def __init__(self):
        self.callback = None

    async def visit(self, url: str) -> None:
        command = [os.environ.get("PORTUNUS_NODE", "node"), str(PERSON), url]
        self.callback = (await asyncio.to_thread(subprocess.check_output, command, text=True)).strip()

    async def result(self) -> AuthorizationCodeResult:
        query = parse_qs(urlparse(self.callback).query)
        first = {name: values[0] for name, values in query.items()}
        return AuthorizationCodeResult(code=first["code"], state=first.get("state"), iss=first.get("iss"))


async def story(mode: str, expected: str) -> None:
    person = Person()
    metadata = OAuthClientMetadata(
        client_name=f"Portunus test (Python, {mode})",
        redirect_uris=[REDIRECT],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        token_endpoint_auth_method="none",
    )
    provider = OAuthClientProvider(URL, metadata, Memory(), person.visit, person.result)
    async with httpx2.AsyncClient(auth=provider, timeout=30) as http:
        async with Client(streamable_http_client(URL, http_client=http), mode=mode, read_timeout_seconds=60) as client:
            assert client.protocol_version.startswith(expected), client.protocol_version
            names = [tool.name for tool in (await client.list_tools()).tools]
            for name in ("list_tables", "describe_table", "read_query"):
                assert name in names, names
            print(f"python {mode}: connected with {client.protocol_version}; tools {', '.join(names)}")

            tables = await client.call_tool("list_tables", {})
            assert "customers" in str(tables.structured_content), tables
            answer = await client.call_tool("read_query", {"sql": "SELECT count(*) AS n FROM orders"})
            assert not answer.is_error, answer
            print(f"python {mode}: read_query {str(answer.structured_content)[:120]}")
            print(f"python {mode}: DROP TABLE is refused: {await refused(client)}")
    assert person.callback, "no sign-in was asked for"


async def refused(client: Client) -> str:
    """The protocol's own error (or a tool's), never a hung or broken connection."""
    try:
        result = await client.call_tool("write_query", {"sql": "DROP TABLE orders"})
    except MCPError as error:
        return f"{error.code} {error.message} {error.data}"
    assert result.is_error, result
    return " ".join(getattr(part, "text", "") for part in result.content)


def main() -> None:
    eras = {"legacy": "2025-", "auto": "2026-07-28"}
    for mode in sys.argv[1:] or eras:
        asyncio.run(story(mode, eras[mode]))


main()
