"""The `yardarm-agent` command: reads settings, runs until it is told to end.

Exit codes: 0 ended as asked, 1 cannot work, 2 wrong usage.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence

from agent.settings import AgentSettings, RbacSettings, SandboxSettings, UsageError, parse
from shared.errors import YardarmError
from shared.telemetry import configure_logging, configure_tracing

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    try:
        settings = parse(sys.argv[1:] if argv is None else argv)
        if isinstance(settings, RbacSettings):
            return _print_rbac(settings)
        configure_logging(level=settings.log_level, style=settings.log_style)
    except (UsageError, ValueError) as error:
        return _fail(error, 2)
    name = settings.cluster if isinstance(settings, AgentSettings) else "sandbox"
    provider = configure_tracing("yardarm-agent", settings.otlp_endpoint, {"yardarm.cluster": name})
    try:
        with asyncio.Runner(loop_factory=_loop_of(settings)) as runner:
            runner.run(_until_signal(_work(settings)))
    except ExceptionGroup as errors:
        known, rest = errors.split(YardarmError)
        if rest is not None or known is None:
            raise
        return _fail(known, 2 if known.subgroup(UsageError) is not None else 1)
    finally:
        if provider is not None:
            provider.shutdown()
    return 0


def _print_rbac(settings: RbacSettings) -> int:
    import orjson

    from agent.rbac import Grantee, role_objects

    grantee = Grantee(settings.user) if settings.user else Grantee(settings.account[1], settings.account[0])
    items = role_objects(grantee, settings.namespace_scope, settings.inventory_namespace, settings.act_as)
    listed = {"apiVersion": "v1", "kind": "List", "items": items}
    sys.stdout.buffer.write(orjson.dumps(listed, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return 0


def _loop_of(settings: AgentSettings | SandboxSettings) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster event loop for many agents in one process. One agent alone would only pay for it with memory."""
    if isinstance(settings, SandboxSettings):
        from agent.hosting import loop_factory

        return loop_factory()
    return None


async def _work(settings: AgentSettings | SandboxSettings) -> None:
    if isinstance(settings, SandboxSettings):
        from agent.hosting import host

        await host(settings)
        return
    from agent.kube.access import Access
    from agent.kube.client import Kube
    from agent.loop import read_credentials, run_agent

    credentials = read_credentials(settings)
    if settings.kubeconfig is not None:
        access = Access.kubeconfig(settings.kubeconfig, settings.context or None)
    else:
        access = Access.in_cluster()
    async with await Kube.connect(access) as kube:
        await run_agent(settings, kube, credentials)


async def _until_signal(work: Coroutine[None, None, None]) -> None:
    """Runs `work`; SIGTERM and SIGINT end it in order."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)


def _fail(error: Exception, code: int) -> int:
    """Says what is wrong, in one line for each error of a group."""
    if isinstance(error, ExceptionGroup):
        for each in error.exceptions:
            _fail(each, code)
    else:
        sys.stderr.write(f"yardarm-agent: {error}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
