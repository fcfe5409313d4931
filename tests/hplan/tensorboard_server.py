"""A TensorBoard of its own, to ask as a browser would."""

import gzip
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

DEADLINE = 60  # seconds
GREETING = re.compile(rb"http://127\.0\.0\.1:(\d+)/")


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def content_type(self) -> str:
        return self.headers["Content-Type"]


@dataclass(frozen=True)
class Server:
    """A TensorBoard that runs; `is_fast` where its data server reads the events."""

    process: subprocess.Popen
    port: int
    is_fast: bool

    def get(self, path: str, **headers: str) -> Reply:
        """Sends `path` as it is: nothing is normalised or quoted."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        return Reply(response.status, response.headers, body)

    def trees(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What the tab lists, by run and tag."""
        listed = self.get("/data/plugin/subgoals/trees").json().get("trees", [])
        return {(entry["run"], entry["tag"]): entry for entry in listed}

    def tree(self, run: str, tag: str, step: int | str) -> Reply:
        query = urlencode({"run": run, "tag": tag, "step": step}, quote_via=quote)
        return self.get(f"/data/plugin/subgoals/tree?{query}")


@contextmanager
def tensorboard(
    logdir: Path, *flags: str, program: tuple[str, ...] = ("-m", "tensorboard.main")
) -> Iterator[Server]:
    """Starts TensorBoard on a free port of this machine alone, and ends it."""
    command = [sys.executable, *program, "--logdir", str(logdir), "--host", "127.0.0.1"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([*command, "--port", "0", *flags], stdout=log, stderr=log)

        def greeting() -> re.Match | None:
            # Not by seek: the process writes where this file stands.
            content = os.pread(log.fileno(), 10_000, 0)
            assert process.poll() is None, content
            return GREETING.search(content)

        try:
            found = wait_for(greeting)
            yield Server(process, int(found[1]), b"fast data loading" in found.string)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(look: Callable[[], Any]) -> Any:
    """The first true thing that `look` finds."""
    give_up = time.monotonic() + DEADLINE
    while not (found := look()):
        assert time.monotonic() < give_up, f"waited {DEADLINE} s in vain"
        time.sleep(0.05)
    return found
