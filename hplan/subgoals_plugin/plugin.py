"""Serves subgoal trees and the tab that shows them.

TensorBoard reads the event files and keeps the trees. A request names a run, a tag and a step,
which are looked up there; none names a file.
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tensorboard import errors, plugin_util
from tensorboard.backend import http_util
from tensorboard.data.provider import BlobSequenceDatum, RunTagFilter
from tensorboard.plugins.base_plugin import FrontendMetadata, TBContext, TBLoader, TBPlugin
from werkzeug.wrappers import Request, Response

from hplan.subgoals_plugin import PLUGIN_NAME
from hplan.subgoals_plugin.blob import unpack_tree

STATIC = Path(__file__).parent / "static"
STATIC_TYPES = {".js": "text/javascript", ".css": "text/css"}
EVERY_STEP = 2**31 - 1
INTEGER = re.compile(r"-?[0-9]{1,19}")


class SubgoalsLoader(TBLoader):
    """What TensorBoard finds through the entry point."""

    def fix_flags(self, flags: argparse.Namespace) -> None:
        """Asks for every step: by default TensorBoard keeps a sample. It reads data only later."""
        flags.samples_per_plugin.setdefault(PLUGIN_NAME, 0)

    def load(self, context: TBContext) -> "SubgoalsPlugin":
        return SubgoalsPlugin(context)


class SubgoalsPlugin(TBPlugin):
    """Routes below data/plugin/subgoals/: `trees`, `tree`, `static/<name>`."""

    plugin_name = PLUGIN_NAME

    def __init__(self, context: TBContext) -> None:
        self._store = context.data_provider

    def get_plugin_apps(self) -> dict[str, Callable]:
        """The routes; of the static files, those that are there when TensorBoard starts."""
        static = [path for path in STATIC.glob("*") if path.suffix in STATIC_TYPES]
        return {
            "/trees": self._serve_trees,
            "/tree": self._serve_tree,
            **{f"/static/{path.name}": _static_app(path) for path in static},
        }

    def is_active(self) -> bool:
        """Asked only where TensorBoard itself found no summary of this plugin."""
        return False

    def frontend_metadata(self) -> FrontendMetadata:
        return FrontendMetadata(es_module_path="/static/index.js", tab_name="Subgoals")

    @Request.application
    def _serve_trees(self, request: Request) -> Response:
        """Every logged step of every tag; reads no tree."""
        return _respond(request, self._list_trees)

    @Request.application
    def _serve_tree(self, request: Request) -> Response:
        """One tree."""
        return _respond(request, lambda request: unpack_tree(self._blob(request)))

    def _list_trees(self, request: Request) -> str:
        trees = [
            {"run": run, "tag": tag, **_tag_parts(tag), "steps": sorted(d.step for d in series)}
            for run, tags in self._series(request, None).items()
            for tag, series in tags.items()
            if series
        ]
        return json.dumps({"trees": sorted(trees, key=lambda tree: (tree["run"], tree["tag"]))})

    def _blob(self, request: Request) -> bytes:
        """The blob that the request names.

        Raises:
            errors.PublicError: the request names none.
            ValueError: the summary that it names holds none, or none that TensorBoard can read.
        """
        if missing := [name for name in ("run", "tag", "step") if name not in request.args]:
            raise errors.InvalidArgumentError(f"give {', '.join(missing)}")
        run, tag, step = (request.args[name] for name in ("run", "tag", "step"))
        if not INTEGER.fullmatch(step):
            raise errors.InvalidArgumentError("step must be an integer")
        series = self._series(request, RunTagFilter([run], [tag])).get(run, {}).get(tag, [])
        datum = next((datum for datum in series if datum.step == int(step)), None)
        if datum is None:
            raise errors.NotFoundError("no such tree: the run, the tag or the step is unknown")
        return self._read(request, datum)

    def _read(self, request: Request, datum: BlobSequenceDatum) -> bytes:
        """The blob of one step; ValueError if its tensor does not hold one."""
        context = plugin_util.context(request.environ)
        try:
            blob = self._store.read_blob(context, blob_key=datum.values[0].blob_key)
        except errors.InvalidArgumentError as error:
            # The fast loader cannot read its own key where JSON had to escape a character.
            raise ValueError(
                "TensorBoard's fast loader reads no tree of a run or tag with a quote, a backslash "
                "or a control character in its name; start it with --load_fast=false"
            ) from error
        except (IndexError, TypeError, ValueError):
            blob = None
        if not isinstance(blob, bytes):
            raise ValueError("the summary holds no tree")
        return blob

    def _series(self, request: Request, run_tag_filter: RunTagFilter | None) -> Any:
        """run -> tag -> every step with the key of its blob."""
        try:
            return self._store.read_blob_sequences(
                plugin_util.context(request.environ),
                experiment_id=plugin_util.experiment_id(request.environ),
                plugin_name=PLUGIN_NAME,
                downsample=EVERY_STEP,
                run_tag_filter=run_tag_filter,
            )
        except KeyError as error:
            # The slow loader knows a tag before it has any data of it.
            raise ValueError(
                "a tag has no data yet; reload, and if it stays so start TensorBoard without "
                "--load_fast=false"
            ) from error


def _tag_parts(tag: str) -> dict[str, str]:
    """What a tag of `hplan.tree_summary` says; any other tag is an episode of nothing."""
    prefix, *parts = tag.split("/")
    if prefix != PLUGIN_NAME or len(parts) != 4:
        parts = ["", "", "", tag]
    return dict(zip(("suite", "method", "bin", "episode"), parts, strict=True))


def _static_app(path: Path) -> Callable:
    """Serves one file of the tab."""

    @Request.application
    def serve(request: Request) -> Response:
        return http_util.Respond(request, path.read_bytes(), STATIC_TYPES[path.suffix])

    return serve


def _respond(request: Request, answer: Callable[[Request], str]) -> Response:
    """The JSON of `answer`, or why there is none; compressed where the client accepts it."""
    code = 200
    try:
        text = answer(request)
    except errors.PublicError as error:
        text, code = json.dumps({"error": str(error)}), error.http_code
    except ValueError as error:
        text, code = json.dumps({"error": str(error)}), 422
    return http_util.Respond(request, text, "application/json", code=code)
