"""A demo from beginning to end: prepare a folder, start everything, show it, and leave nothing behind.

Whatever ends it (Ctrl-C, SIGTERM, a verdict, an error), the agents end before the hub, and the hub before the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
import signal
import sys
import tempfile
from collections.abc import Coroutine, Iterator
from pathlib import Path

from hub.app import Hub
from hub.cli.output import Output
from hub.cli.settings import demo_note
from hub.cli.trouble import FOUND_TROUBLE, why
from hub.demo import agents, note, screen, words
from hub.demo.child import Child
from hub.demo.options import DemoOptions
from hub.demo.preparing import Prepared, prepare
from hub.demo.progress import Line, Progress, Snapshot, finding
from hub.demo.settling import Settling, Verdict, is_fine
from hub.demo.summary import summary
from hub.demo.watching import snapshots, take
from hub.domain.yamltext import to_yaml
from shared.errors import YardarmError
from shared.tasks import Clock
from shared.telemetry import JsonFormatter, configure_tracing

log = logging.getLogger(__name__)


def run(options: DemoOptions) -> int:
    """Runs the demo and returns the exit code.

    Raises:
        YardarmError: it could not start, or a part that it needs has ended.
    """
    folder = _folder(options)
    handler = _log_to(folder / "hub.log")
    try:
        return asyncio.run(_Demo(options, folder, Clock()).run())
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
        if options.keep:
            sys.stderr.write(f"everything is in {folder}; to go on there: yardarm demo --dir {folder}\n")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _folder(options: DemoOptions) -> Path:
    if options.folder is None:
        return Path(tempfile.mkdtemp(prefix="yardarm-demo-")).resolve()
    options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return options.folder.resolve()


def _log_to(file: Path) -> logging.Handler:
    """The terminal belongs to the demo's own words."""
    handler = logging.FileHandler(file)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    return handler


class _Demo:
    """One run."""

    def __init__(self, options: DemoOptions, folder: Path, clock: Clock) -> None:
        self._options = options
        self._folder = folder
        self._clock = clock
        self._begun = clock.now()

    async def run(self) -> int:
        """Works until it is done, or somebody stops it, which is no error."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
        try:
            async with asyncio.TaskGroup() as group:
                with self._screen() as shown:
                    working = group.create_task(self._work(shown))
                    stopping = group.create_task(stop.wait())
                    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
                    if stop.is_set():
                        shown.tell([Line("ending …")])
                    stopping.cancel()
                    working.cancel()
                    await asyncio.wait({working})
        except* (YardarmError, OSError) as failed:
            raise why(failed, self._options.port) from None
        return 0 if working.cancelled() else working.result()

    async def _work(self, shown: screen.Screen) -> int:
        """Prepares, then runs the hub and all beside it; the hub outlives the agents, to hear their last words."""
        shown.tell([Line("starting …")])
        prepared = await prepare(self._options, self._folder, self._clock.now())
        tracing = configure_tracing("yardarm-hub", prepared.settings.otlp_endpoint)
        hub = Hub(prepared.settings)
        try:
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(hub.run())
                try:
                    return await self._beside(hub, prepared, shown)
                finally:
                    serving.cancel()
        finally:
            if tracing is not None:
                await asyncio.to_thread(tracing.shutdown)

    async def _beside(self, hub: Hub, prepared: Prepared, shown: screen.Screen) -> int:
        """Everything but the hub: agents, notes for other programs, and what a person sees."""
        await hub.ready.wait()
        agents.write_credentials(hub.identity, prepared.clusters, self._folder / "creds")
        places = words.Places(
            url=hub.url,
            token=hub.token,
            repo=prepared.repo,
            sample=prepared.sample,
            kubeconfig=self._options.kubeconfig or self._folder / "kubeconfig",
            nats=hub.nats_url,
            log=self._folder / "hub.log",
        )
        async with contextlib.AsyncExitStack() as running:
            children = await self._start(prepared, places, running)
            with _announced(self._options.info, places):
                return await _while_running(children, self._show(hub, places, shown))

    async def _start(
        self, prepared: Prepared, places: words.Places, running: contextlib.AsyncExitStack
    ) -> dict[str, Child]:
        """Starts the agents, which end with `running`; returns the processes by what they are called."""
        if not prepared.contexts:
            places.kubeconfig.unlink(missing_ok=True)
            child = await running.enter_async_context(agents.sandbox(prepared.clusters, places.nats, self._folder))
            await agents.kubeconfig_written(child, places.kubeconfig, self._clock)
            return {"the sandbox": child}
        return {
            f"the agent of {context}": await running.enter_async_context(
                agents.real(cluster, context, places.kubeconfig, places.nats, self._folder)
            )
            for cluster, context in prepared.contexts.items()
        }

    def _screen(self) -> screen.Screen:
        if self._options.output is not Output.TABLE:
            return screen.Silent()
        live = sys.stdout.isatty() and not self._options.once
        return screen.Terminal() if live else screen.Lines()

    async def _show(self, hub: Hub, places: words.Places, shown: screen.Screen) -> int:
        if self._options.once:
            return await self._once(hub, shown)
        shown.tell([Line(text) for text in words.welcome(places)])
        progress, stood = Progress(), False
        async for snapshot in snapshots(hub.view, self._clock):
            shown.tell(progress.news(snapshot))
            if not stood and is_fine(snapshot):
                stood = True
                shown.tell([Line(text) for text in words.next_steps(places, snapshot)])
            shown.draw(snapshot)
        return 0

    async def _once(self, hub: Hub, shown: screen.Screen) -> int:
        """Waits until nothing moves, prints the fleet, and says by the exit code how it is."""
        progress, settling = Progress(), Settling()
        verdict: Verdict | None = None
        try:
            async with asyncio.timeout(self._options.timeout):
                async for snapshot in snapshots(hub.view, self._clock):
                    shown.tell(progress.news(snapshot))
                    verdict = settling.observe(snapshot)
                    if verdict is not None:
                        break
        except TimeoutError:
            shown.tell([Line(f"not settled within {self._options.timeout:g} s", "error")])
        self._print(take(hub.view, self._clock.now()), verdict, settling.since - self._begun)
        return 0 if verdict is Verdict.FINE else FOUND_TROUBLE

    def _print(self, snapshot: Snapshot, verdict: Verdict | None, seconds: float) -> None:
        found = summary(snapshot, verdict, seconds)
        if self._options.output is Output.JSON:
            sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        elif self._options.output is Output.YAML:
            sys.stdout.write(to_yaml(found))
        else:
            problems = "".join(f"{text}\n" for text in dict.fromkeys(map(finding, snapshot.problems)))
            ended = f"{verdict.value}, {found['seconds']:.1f} s after the start\n" if verdict is not None else ""
            sys.stdout.write(f"\n{screen.fleet_table(snapshot)}\n\n{problems}{ended}")


async def _while_running(children: dict[str, Child], showing: Coroutine[None, None, int]) -> int:
    """The result of `showing`; an error as soon as one of the processes ends, which they do not do by themselves."""

    async def guard(name: str, child: Child) -> None:
        code = await child.ended()
        raise YardarmError(f"{name} ended with {code}:\n{child.last_lines()}")

    async with asyncio.TaskGroup() as group:
        guards = [group.create_task(guard(name, child)) for name, child in children.items()]
        try:
            return await showing
        finally:
            for task in guards:
                task.cancel()


@contextlib.contextmanager
def _announced(info: Path | None, places: words.Places) -> Iterator[None]:
    """Other programs can find the demo while the block runs."""
    content = {
        "url": places.url,
        "token": places.token,
        "repo": places.repo,
        "kubeconfig": str(places.kubeconfig),
        "nats": places.nats,
    }
    own = demo_note()
    try:
        note.write_own(own, content)
    except YardarmError as error:
        log.warning("other commands will not find the demo by themselves", extra={"error": str(error)})
    try:
        if info is not None:
            note.write(info, content)
        yield
    finally:
        note.remove_own(own, content)
        if info is not None:
            note.remove(info, content)
