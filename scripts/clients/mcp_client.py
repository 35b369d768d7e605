"""Asks a Tessera server by the official Python library of the Model Context Protocol: tools, search, fetch, what is not there, no token.

TESSERA_URL is where the server is; TESSERA_TOKEN a token of somebody.
"""

import asyncio
import json
import os

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

url, token = f"{os.environ['TESSERA_URL']}/mcp", os.environ["TESSERA_TOKEN"]


def told(result):
    """What a tool gives, which its text says, too."""
    assert not result.is_error, result
    assert json.loads(result.content[0].text) == result.structured_content, result
    return result.structured_content


async def ask(mode):
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            tools = (await client.list_tools()).tools
            assert [tool.name for tool in tools] == ["search", "fetch"], tools
            assert all(tool.annotations.read_only_hint for tool in tools), tools
            found = told(await client.call_tool("search", {"query": "stalled dome"}))["results"]
            assert found and all(hit["id"] and hit["title"] and "url" in hit for hit in found), found
            page = told(await client.call_tool("fetch", {"id": found[0]["id"]}))
            assert page["id"] == found[0]["id"] and page["text"] and page["title"] == found[0]["title"], page
            absent = await client.call_tool("fetch", {"id": "there-is-no-such-page"})
            assert absent.is_error, absent


async def main():
    for mode in ("legacy", "auto"):
        await ask(mode)
    async with httpx2.AsyncClient() as http:
        refused = await http.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, headers={"Accept": "application/json, text/event-stream"})
        assert refused.status_code == 401 and refused.headers["www-authenticate"].startswith("Bearer"), refused
    print("mcp: tools, search, fetch and refusals as the library expects them")


asyncio.run(main())
