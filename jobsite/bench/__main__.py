"""`python -m jobsite.bench OPTIONS`: what `manage.py bench` starts on the database and the broker that it chose.

Prints the result as JSON on stdout, and what it is at on stderr.
"""

import json
import sys

import django

from ..up import until_stopped


def main(options: str) -> None:
    with until_stopped():
        django.setup()
        # The tasks belong to the current app, and the rest imports models.
        from ..celery import app

        app.set_current()
        from .run import Options, bench

        print(json.dumps(bench(Options(**json.loads(options)), say)))  # noqa: T201  the parent reads it
        return
    raise SystemExit(130)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
