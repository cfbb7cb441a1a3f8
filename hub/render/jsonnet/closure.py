"""What Jsonnet files read: the files that they import, and those that these import. Pure.

The name of an import is always a literal, so that a look at the text is enough. It is looked up beside the file that
imports it, then in `libs` from the last to the first, then in the application's own directory, as Argo CD does.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from hub.domain.tree import Tree
from hub.render.footprint import Footprint, Trail
from shared.errors import DocumentError
from shared.model import Place

SUFFIX = ".jsonnet"
MOST_FILES = 2000

# Strings are skipped over, so that what only looks like an import in one is none; so are comments.
_TOKENS = re.compile(
    r"""//[^\n]*|\#[^\n]*|/\*.*?\*/|\|\|\|.*?\|\|\|
    |\bimport(?:str|bin)?\s*(?P<name>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|@"[^"]*"|@'[^']*')
    |"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""",
    re.DOTALL | re.VERBOSE,
)


def imports(text: str) -> list[tuple[str, int]]:
    """The names that a file imports, each with its line."""
    found = []
    for token in _TOKENS.finditer(text):
        name = token["name"]
        if name is not None:
            found.append((_literal(name), text.count("\n", 0, token.start()) + 1))
    return found


def candidates(name: str, importer: str, folders: Sequence[str]) -> list[str]:
    """The paths at which an import may be found, from the root, in order; none for one that leads out."""
    if name.startswith("/"):
        return []
    places = [posixpath.dirname(importer), *folders]
    joined = (posixpath.normpath(posixpath.join(place, name)) for place in places)
    return [path for path in joined if path != ".." and not path.startswith("../")]


def closure(tree: Tree, entries: Sequence[str], folders: Sequence[str]) -> tuple[Footprint, tuple[str, ...]]:
    """What the evaluation of `entries` reads, and the paths by which it does so, which may lead through links.

    `folders` are where imports are looked up, first ones first.
    """
    trail = Trail(tree)
    waiting, seen = list(entries), set[str]()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        if len(seen) >= MOST_FILES:
            trail.error(Place(path), f"Jsonnet files import more than {MOST_FILES} others")
            break
        seen.add(path)
        real = trail.file(path)
        if not real:
            continue
        for name, line in imports(_text(tree, real)):
            found = next((each for each in candidates(name, path, folders) if trail.file(each)), "")
            if found:
                waiting.append(found)
            else:
                trail.error(Place(path, line), f"there is no {name!r} to import", "imports are files of the repository")
    return trail.footprint(), tuple(sorted(seen))


def _text(tree: Tree, path: str) -> str:
    try:
        return tree.read(path).decode(errors="replace")
    except DocumentError:
        return ""


def _literal(text: str) -> str:
    if text.startswith("@"):
        return text[2:-1]
    return re.sub(r"\\(.)", r"\1", text[1:-1])
