"""The Python SDK drives `portunus sqlite FILE --stdio` (the binary that PORTUNUS names), alone, in both protocol eras."""

import asyncio
import hashlib
import os
import pathlib
import sqlite3
import tempfile

from mcp import Client, StdioServerParameters

HOSTILE = [
    "DELETE FROM pets",
    "ATTACH DATABASE 'other.db' AS other",
    "VACUUM INTO 'copy.db'",
    "PRAGMA writable_schema = 1",
    "WITH x AS (SELECT 1) DELETE FROM pets RETURNING *",
    "SELECT 1; DROP TABLE pets",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
]


def server(file: pathlib.Path, *words: str) -> StdioServerParameters:
    return StdioServerParameters(command=os.environ["PORTUNUS"], args=["sqlite", str(file), "--stdio", *words])


async def read_only(file: pathlib.Path, mode: str) -> None:
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    async with Client(server(file, "--timeout-ms", "1000"), mode=mode, read_timeout_seconds=60) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"list_tables", "describe_table", "read_query", "explain_query"}, sorted(tools)
        for tool in tools.values():
            assert tool.annotations.read_only_hint and tool.output_schema, tool
        answer = await client.call_tool("read_query", {"sql": "SELECT name, age FROM pets ORDER BY age"})
        assert not answer.is_error and "Rex" in str(answer.structured_content), answer
        described = await client.call_tool("describe_table", {"table": "pets"})
        assert "age" in str(described.structured_content), described
        misspelt = await client.call_tool("read_query", {"sql": "SELECT nmae FROM pets"})
        assert misspelt.is_error and "name" in misspelt.content[0].text, misspelt
        for sql in HOSTILE:
            refused = await client.call_tool("read_query", {"sql": sql})
            assert refused.is_error, (sql, refused)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before, "the file changed"
    print(f"stdio {mode}: read only, {len(HOSTILE)} hostile statements refused")


async def with_write(file: pathlib.Path) -> None:
    async with Client(server(file, "--write"), read_timeout_seconds=60) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert not tools["write_query"].annotations.read_only_hint, tools["write_query"]
        changed = await client.call_tool("write_query", {"sql": "UPDATE pets SET age = 4 WHERE name = 'Rex'"})
        assert not changed.is_error, changed
        refused = await client.call_tool("write_query", {"sql": "DROP TABLE pets"})
        assert refused.is_error, refused
    rows = sqlite3.connect(file).execute("SELECT age FROM pets WHERE name = 'Rex'").fetchall()
    assert rows == [(4,)], rows
    print("stdio --write: one row changed, DROP TABLE refused")


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory, "pets.db")
        with sqlite3.connect(file) as database:
            database.execute("CREATE TABLE pets (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER)")
            database.executemany("INSERT INTO pets (name, age) VALUES (?, ?)", [("Rex", 3), ("Tom", 7), ("Ina", 1)])
        database.close()
        for mode in ("legacy", "auto"):
            await read_only(file, mode)
        await with_write(file)
        assert [entry.name for entry in pathlib.Path(directory).iterdir() if entry.suffix == ".db"] == ["pets.db"]


asyncio.run(main())
