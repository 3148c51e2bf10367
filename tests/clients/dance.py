"""The whole dance of the Python clients, from the URL alone: discover, register, sign in, agree, call; refresh after the
token has ended; be asked again after the grant was revoked.

PORTUNUS_URL=… PORTUNUS_PERSON=… PORTUNUS_REVOKE='["portunus","kill","--all"]' PORTUNUS_WAIT_MS=… python dance.py CLIENT

prints one line `ROW {json}` for each era that was danced to its end.
"""

import asyncio
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
from urllib.parse import parse_qs, urlparse

import fastmcp
import httpx2
from fastmcp.client.auth import OAuth
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

URL = os.environ["PORTUNUS_URL"]
TOOL = os.environ["PORTUNUS_TOOL"]
ARGUMENTS = json.loads(os.environ.get("PORTUNUS_ARGUMENTS", "{}"))
REDIRECT = "http://127.0.0.1:43118/callback"
PERSON = pathlib.Path(__file__).with_name("person.mjs")


async def token_ends() -> None:
    await asyncio.sleep(int(os.environ["PORTUNUS_WAIT_MS"]) / 1000)


async def revoke() -> None:
    command = json.loads(os.environ["PORTUNUS_REVOKE"])
    await asyncio.to_thread(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)


def row(client: str, package: str, era: str) -> None:
    client = f"{client} {importlib.metadata.version(package)}"
    steps = {"call": True, "refresh": True, "again": True}
    print("ROW " + json.dumps({"client": client, "era": era, "registration": "DCR", **steps}))


class Person:
    """Visits the address that the client asks for and hands back what the redirect carried."""

    def __init__(self):
        self.visits = 0
        self.callback = None

    async def visit(self, url: str) -> None:
        command = [os.environ.get("PORTUNUS_NODE", "node"), str(PERSON), url]
        self.visits += 1
        self.callback = (await asyncio.to_thread(subprocess.check_output, command, text=True)).strip()

    async def result(self) -> AuthorizationCodeResult:
        first = {name: values[0] for name, values in parse_qs(urlparse(self.callback).query).items()}
        return AuthorizationCodeResult(code=first["code"], state=first.get("state"), iss=first.get("iss"))


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


async def sdk(mode: str) -> None:
    person, memory = Person(), Memory()
    metadata = OAuthClientMetadata(
        client_name=f"dance ({mode})",
        redirect_uris=[REDIRECT],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        token_endpoint_auth_method="none",
    )
    provider = OAuthClientProvider(URL, metadata, memory, person.visit, person.result)
    async with httpx2.AsyncClient(auth=provider, timeout=30) as http:

        async def connected(steps):
            transport = streamable_http_client(URL, http_client=http)
            async with Client(transport, mode=mode, read_timeout_seconds=60) as client:
                await steps(client)
                return client.protocol_version

        async def call(client):
            result = await client.call_tool(TOOL, ARGUMENTS)
            assert not result.is_error, result

        async def first(client):
            await call(client)
            assert person.visits == 1, person.visits
            token = memory.tokens.access_token
            await token_ends()
            await call(client)
            assert memory.tokens.access_token != token, "the token was refreshed"
            assert person.visits == 1, "nobody was asked to sign in for a refresh"

        era = await connected(first)
        await revoke()
        await connected(call)
        assert person.visits == 2, person.visits
    row("Python SDK", "mcp", era)


class PersonalOAuth(OAuth):
    """fastmcp's own OAuth, with the person in place of a browser on this machine."""

    def __init__(self, person: Person):
        self.person = person
        super().__init__(URL, client_name="dance (fastmcp)")

    async def redirect_handler(self, authorization_url: str) -> None:
        await self.person.visit(authorization_url)

    async def callback_handler(self) -> AuthorizationCodeResult:
        return await self.person.result()


async def fast() -> None:
    person = Person()
    auth = PersonalOAuth(person)

    async def call(client):
        result = await client.call_tool(TOOL, ARGUMENTS)
        assert not result.is_error, result

    async with fastmcp.Client(URL, auth=auth) as client:
        await call(client)
        assert person.visits == 1, person.visits
        era = protocol(client)
        await token_ends()
        await call(client)
        assert person.visits == 1, "nobody was asked to sign in for a refresh"
    await revoke()
    async with fastmcp.Client(URL, auth=auth) as client:
        await call(client)
        assert person.visits == 2, person.visits
    row("fastmcp", "fastmcp", era)


def protocol(client: fastmcp.Client) -> str:
    version = getattr(client, "protocol_version", None)
    return version or client.initialize_result.protocol_version


async def main() -> None:
    match sys.argv[1]:
        case "sdk":
            for mode in ("legacy", "auto"):
                await sdk(mode)
        case "fastmcp":
            await fast()


asyncio.run(main())
