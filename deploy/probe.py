"""Prints what a URL answers, exit code 0 when it is 200: `python probe.py http://127.0.0.1:8000/health`, for images
without curl.
"""

import sys
import urllib.error
import urllib.request

SECONDS = 3


def main(url: str) -> int:
    # A proxy of the environment is for the outside world.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=SECONDS) as answer:
            print(answer.read().decode())
            return 0 if answer.status == 200 else 1
    except (urllib.error.URLError, OSError) as error:
        print(f"{url}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
