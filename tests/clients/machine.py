"""The Python SDK as a machine: client credentials with a signature and with a secret, from the URL alone.

PORTUNUS_URL=… PORTUNUS_ISSUER=… PORTUNUS_SECRET=… SSL_CERT_FILE=… python machine.py DIR   (keys of machine.mjs in DIR)
"""

import asyncio
import os
import pathlib
import sys

import httpx2
import jwt
from mcp import Client
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
)
from mcp.client.streamable_http import streamable_http_client
from uuid import uuid4
import time

URL = os.environ["PORTUNUS_URL"]
ISSUER = os.environ["PORTUNUS_ISSUER"]
KEYS = pathlib.Path(sys.argv[1])


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


async def sign(audience: str) -> str:
    now = int(time.time())
    claims = {"iss": "signer", "sub": "signer", "aud": audience, "iat": now, "exp": now + 300, "jti": str(uuid4())}
    key = (KEYS / "rsa.pem").read_text()
    return jwt.encode(claims, key, algorithm="PS256", headers={"kid": "rsa"})


async def story(name: str, provider) -> None:
    async with httpx2.AsyncClient(auth=provider, timeout=30) as http:
        async with Client(streamable_http_client(URL, http_client=http), mode="legacy", read_timeout_seconds=60) as client:
            answer = await client.call_tool("echo", {"word": name})
            assert not answer.is_error and name in str(answer.content), answer
            print(f"python {name}: a tool was called")


async def main() -> None:
    await story("private_key_jwt", PrivateKeyJWTOAuthProvider(URL, Memory(), "signer", sign, issuer=ISSUER))
    secret = os.environ["PORTUNUS_SECRET"]
    await story("client_secret", ClientCredentialsOAuthProvider(URL, Memory(), "secretive", secret, issuer=ISSUER))


asyncio.run(main())
