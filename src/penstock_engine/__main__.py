"""`python -m penstock_engine build|serve`: how a platform runs this engine."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from pathlib import Path

from penstock_engine.errors import EngineError
from penstock_engine.service import Limits, Task
from penstock_engine.work import Precision

_log = logging.getLogger("penstock_engine")
_KV_BYTES = 1 << 30
_DRAIN_SECONDS = 20.0


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status. What goes wrong for a reason of the model's is the last line of the log."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    if getattr(options, "watch_stdin", False):
        threading.Thread(target=_end_with_stdin, name="stdin", daemon=True).start()
    try:
        if options.command == "build":
            _build(options)
        else:
            _serve(options)
    except EngineError as error:
        _log.error("%s", error)
        return 1
    except OSError as error:
        _log.error("%s", error)
        return 1
    return 0


def _build(options: argparse.Namespace) -> None:
    from penstock_engine.build import build

    build(options.model, options.cache, options.precision, _log.info, adapters=dict(options.adapter))


def _serve(options: argparse.Namespace) -> None:
    from penstock_engine.worker import Address, Worker

    worker = Worker(
        model=options.model,
        cache=options.cache,
        precision=options.precision,
        name=options.served_model_name,
        task=options.task,
        kv_bytes=options.kv_bytes,
        limits=Limits(options.max_running, options.max_queue, options.prefill_chunk),
        drain_seconds=options.drain_seconds,
        adapters=dict(options.adapter),
        adaptable=options.adaptable is not None,
        room=options.adaptable or 0,
    )
    worker.run(Address(options.socket, options.port))


def _end_with_stdin() -> None:
    """Ends the process at once when the other end of stdin is gone, however it went."""
    while os.read(0, 4096):
        pass
    os._exit(1)


def _parser() -> argparse.ArgumentParser:
    limits = Limits()
    parser = argparse.ArgumentParser(prog="penstock_engine", description="Serve one model on CPU")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="convert a model into the cache, and check it")
    serve = commands.add_parser("serve", help="answer requests for a model")
    for command in (build, serve):
        command.add_argument("--model", type=Path, required=True, help="a transformers or MLflow model directory")
        command.add_argument("--cache", type=Path, required=True, help="where converted weights are kept")
        command.add_argument("--precision", type=Precision, choices=list(Precision), default=Precision.INT8)
        command.add_argument("--watch-stdin", action="store_true", help="end when stdin is closed")
        command.add_argument(
            "--adapter",
            type=_adapter,
            action="append",
            default=[],
            help="NAME=FOLDER of a LoRA adapter; may be repeated",
        )
    place = serve.add_mutually_exclusive_group(required=True)
    place.add_argument("--socket", type=Path, help="Unix socket to listen on; an old one is replaced")
    place.add_argument("--port", type=int, help="port of 127.0.0.1 to listen on")
    serve.add_argument(
        "--adaptable",
        type=_positive,
        nargs="?",
        const=0,
        metavar="RANKS",
        help="leave room for adapters that come while it runs: any, or those whose ranks are together so much at most,"
        " which then cost the same whether they are there or not",
    )
    serve.add_argument("--served-model-name", required=True, help="`model` in answers")
    serve.add_argument("--task", type=Task, choices=list(Task), required=True)
    serve.add_argument("--max-running", type=_positive, default=limits.max_running, help="sequences per step")
    serve.add_argument("--max-queue", type=_positive, default=limits.max_queue, help="sequences that may wait")
    serve.add_argument("--kv-bytes", type=_positive, default=_KV_BYTES, help="size of the KV cache")
    serve.add_argument("--prefill-chunk", type=_positive, default=limits.prefill_chunk, help="tokens per step at most")
    serve.add_argument("--drain-seconds", type=float, default=_DRAIN_SECONDS, help="time to finish after SIGTERM")
    return parser


def _adapter(text: str) -> tuple[str, Path]:
    name, separator, folder = text.partition("=")
    if not (name and separator and folder):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER")
    return name, Path(folder)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


if __name__ == "__main__":
    sys.exit(main())
