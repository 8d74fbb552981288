"""What the commands of `penstock marketplace` do: a client of the server's own routes."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from penstock.cli.ledger_source import wide_console
from penstock.domain.errors import InvalidParameter, PenstockError
from penstock.domain.market import InstallState

BASE = "/api/2.0/marketplace"
INTERRUPTED = 130
LOOK_S = 1.0
_GIB, _MILLION = 2**30, 1e6
_ERROR = 400


class Server:
    """A server by its address."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url.rstrip("/")
        self._session = session

    async def ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """The answer; raises PenstockError with the server's own words."""
        try:
            async with self._session.request(method, f"{self._url}{BASE}{path}", **more) as answer:
                told = await answer.json(content_type=None)
                if answer.status >= _ERROR:
                    raise PenstockError(str(told.get("message", f"The server answered {answer.status}.")))
                return dict(told)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise PenstockError(f"The server cannot be reached: {error or type(error).__name__}.") from error


def run(url: str, token: str, command: Callable[[Server], Awaitable[int]]) -> int:
    """Runs a command and returns its exit status: 1 if it could not be done."""

    async def whole() -> int:
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            return await command(Server(url, session))

    try:
        return asyncio.run(whole())
    except PenstockError as error:
        print(error.message, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("The server goes on; `penstock marketplace list` shows how far it is.", file=sys.stderr)
        return INTERRUPTED


async def search_all(server: Server, asked: Mapping[str, Any]) -> int:
    """Prints what was found."""
    found = await server.ask("GET", "/models", params={key: str(value) for key, value in asked.items() if value})
    several = len({one["source"] for one in found["models"]}) > 1
    table = Table()
    table.add_column("repository", no_wrap=True)
    for title in ("family", "task", "licence", "parameters", "downloads", "hub")[: None if several else -1]:
        table.add_column(title, justify="right" if title in {"parameters", "downloads"} else "left")
    for one in found["models"]:
        parameters = f"{one['parameters'] / _MILLION:,.0f} M" if one["parameters"] else ""
        name = one["repository"] + (" (gated)" if one["gated"] else "")
        hub = (one["source"],) if several else ()
        cells = (one["family"], one["pipeline"], one["licence"], parameters, f"{one['downloads']:,}")
        table.add_row(name, *cells, *hub)
    if found["models"] or not found["problems"]:
        wide_console().print(table if found["models"] else "Nothing was found.")
    for problem in found["problems"]:
        print(problem, file=sys.stderr)
    return 0


async def show_one(server: Server, repository: str, revision: str, source: str, *, card: bool) -> int:
    """Prints a model's page."""
    if repository.count("/") != 1:
        raise InvalidParameter(f"'{repository}' is not a repository's name: OWNER/NAME.")
    asked = {key: value for key, value in (("revision", revision), ("source", source)) if value}
    page = await server.ask("GET", f"/models/{quote(repository)}", params=asked)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{page['repository']} at {page['source']}, commit {page['commit']}")
    parameters = f"{page['parameters'] / _MILLION:,.0f} M parameters" if page["parameters"] else "parameters not told"
    console.print(f"licence {page['licence'] or 'not told'}, {parameters}")
    if page["access"]:
        console.print(page["access"])
        return 1
    for file in page["files"]:
        console.print(f"  {file['path']}  {decimal(file['size'])}")
    if page["files"]:
        console.print(f"{decimal(page['size'])} in all")
    console.print(_forecast(page))
    if card:
        console.print(page["card"], markup=False)
    return 0


def _forecast(page: Mapping[str, Any]) -> str:
    if page["problem"]:
        return f"It cannot be served here: {page['problem']}"
    one = page.get("forecast")
    if one is None:
        return "How it would do here is not known."
    needs, has = one["memory"] / _GIB, one["device_memory"] / _GIB
    if not one["fits"]:
        return f"It does not fit: a replica needs {needs:.1f} GiB, and a device has {has:.1f} GiB."
    return (
        f"It fits: a replica needs {needs:.1f} of {has:.1f} GiB and would do about {one['throughput']:,.0f} tokens/s "
        f"({one['weight_precision']}, estimated), sold in chunks of {one['throughput_chunk_size']:,}."
    )


async def install_one(server: Server, wish: Mapping[str, Any], *, detach: bool) -> int:
    """Begins an installation, and watches it."""
    begun = await server.ask("POST", "/installs", json=dict(wish))
    Console().print(f"Installation {begun['id']}", highlight=False)
    return 0 if detach else await _watch(server, begun["id"])


async def resume_one(server: Server, install_id: str) -> int:
    """Goes on with one, and watches it."""
    await change(server, install_id, "resume")
    return await _watch(server, install_id)


async def change(server: Server, install_id: str, what: str) -> int:
    """Cancels or resumes."""
    told = await server.ask("POST", f"/installs/{quote(install_id, safe='')}/{what}")
    Console().print(f"{told['id']}: {told['state']}", highlight=False)
    return 0


async def list_all(server: Server) -> int:
    """Prints installations: in lines, as ids and names are to be copied, which columns would cut."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    found = (await server.ask("GET", "/installs"))["installs"]
    for one in found:
        to = one["full_name"] + (f"/{one['version']}" if "version" in one else "")
        came = f"{decimal(one['downloaded'])} of {decimal(one['size'])}" if one["size"] else ""
        console.print(f"{one['id']}  {one['state']:9}  {one['repository']} to {to}  {came}".rstrip())
        if one["message"]:
            console.print(f"  {one['message']}")
    if not found:
        console.print("There are no installations.")
    return 0


async def _watch(server: Server, install_id: str) -> int:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task("", total=None, visible=False)
        while True:
            one = await server.ask("GET", f"/installs/{quote(install_id, safe='')}")
            size = one["size"]
            progress.update(bar, description=one["file"], total=size, completed=one["downloaded"], visible=size > 0)
            if one["state"] != InstallState.RUNNING:
                break
            await asyncio.sleep(LOOK_S)
    done = one["state"] == InstallState.DONE
    said = f"{one['full_name']}/{one['version']} is there. {one['message']}" if done else one["message"]
    print(said.strip(), file=sys.stdout if done else sys.stderr)
    return 0 if done else 1
