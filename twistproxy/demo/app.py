"""One copy of the demo's service: `flask --app twistproxy.demo.app run --port 5001`.

Every path is answered with JSON that says which copy it was (the environment variable `DEMO_COPY`), its port, and the
request headers that reached it, by their lower-case names.
"""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, request

app = Flask(__name__)


@app.route("/", defaults={"path": ""})
@app.route("/<path:path>")
def answer(path: str) -> dict[str, Any]:
    """The answer to everything."""
    return {
        "copy": int(os.environ.get("DEMO_COPY", "0")),
        "port": int(request.environ["SERVER_PORT"]),
        "path": f"/{path}",
        "headers": {name.lower(): value for name, value in request.headers},
    }
