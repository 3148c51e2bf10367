"""A stdio server of the Python SDK, in both eras, with one tool that reports progress."""

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("python")


@server.tool()
async def add(a: int, b: int, ctx: Context) -> str:
    await ctx.report_progress(1, 1)
    return str(a + b)


server.run("stdio")
