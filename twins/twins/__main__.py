"""Command line: `python -m twins serve --port N [--host H] [--data DIR]`.

Imports stay inside `serve` because render workers are spawned from this module and must start light.
"""

import argparse
import os
import socket
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        listener = socket.create_server((options.host, options.port), backlog=2048)
    except OSError as error:
        print(f"twins cannot listen on {options.host}:{options.port}: {os.strerror(error.errno or 0)}", file=sys.stderr)
        return 1
    return _serve(listener, options.data, options.render_workers)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="twins", description="Stand-ins for outside providers")
    serve = parser.add_subparsers(dest="command", required=True).add_parser("serve", help="serve every twin")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, required=True, help="0 takes a free port")
    serve.add_argument("--data", type=Path, help="directory that keeps calls and inboxes across restarts")
    serve.add_argument("--render-workers", type=int, default=2, help="processes that draw pictures (default 2)")
    return parser


def _serve(listener: socket.socket, data: Path | None, render_workers: int) -> int:
    import uvicorn

    from twins.app import create_app
    from twins.wire import AbortableProtocol

    config = uvicorn.Config(
        create_app(data=data, render_workers=render_workers),
        http=AbortableProtocol,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        # Longer than clients keep idle connections, or they meet one that is just being closed.
        timeout_keep_alive=65,
        # Calls that a fault script leaves hanging would otherwise hold the shutdown for ever.
        timeout_graceful_shutdown=1,
    )
    host, port = listener.getsockname()[:2]
    print(f"twins listening on http://{host}:{port}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
