"""A tree that is opened when somebody looks for something in it."""

from __future__ import annotations

import os
from _thread import get_ident

from lazyimport.lazy import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lazyimport.importing.looks import Looks
    from lazyimport.importing.tree import Tree


class LateTree:
    """The tree of the archive *hash*, at *root*, that *make* opens once it is needed.

    ``root``, ``inside`` and ``hash`` are those of the ``tree``, which stays the same
    once it is open. Raises what *make* does.
    """

    tree: Tree

    def __init__(
        self, hash: str, root: str, looks: Looks, make: Callable[[], Tree]
    ) -> None:
        self.hash = hash
        self.root = root
        self.inside = root + "/"
        self._looks = looks
        self._make = make
        #: threads that open it, each with its process: a fork leaves others behind
        self._opening: set[tuple[int, int]] = set()

    def __getattr__(self, name: str) -> Tree:
        if name != "tree":
            raise AttributeError(name)
        if (me := (os.getpid(), get_ident())) in self._opening:
            # What opens it imports what nobody has yet, none of it from the archive.
            raise ImportError(f"archive {self.hash} is just being opened")
        self._opening.add(me)
        try:
            made = self._make()
        finally:
            self._opening.discard(me)
        # Of two threads that open it, the first one gives both its tree.
        tree: Tree = self.__dict__.setdefault(name, made)
        return tree

    def followed(self, path: str) -> str | None:
        """Return what `Tree.followed` does; what lies elsewhere opens no tree."""
        if path.startswith(self.root) or self._looks.concern(path):
            return self.tree.followed(path)
        return None

    def has(self, path: str) -> bool:
        """Return whether *path* leads into the tree; this opens none."""
        if not path.startswith(self.root) and self._looks.concern(path):
            from lazyimport.importing.looking import from_root  # few lead there so

            path = from_root(self._looks, self.root, path)
        return path.startswith(self.root)

    def to_read(self, path: str) -> Tree:
        """Return the tree, to read *path*. Raises ArchiveReadError if it is damaged."""
        try:
            return self.tree
        except errors.ArchiveError as error:
            raise errors.ArchiveReadError.of(path, self.hash, error) from error

    @property
    def is_open(self) -> bool:
        """Whether anybody has needed the tree."""
        return "tree" in self.__dict__

    @property
    def is_real(self) -> bool:
        """Whether all of the tree was put on disk before anybody could look."""
        return self.is_open and self.tree.is_real


def opened(tree: Tree) -> LateTree:
    """Return what stands for a *tree* that is open."""
    late = LateTree(tree.hash, tree.root, tree.looks, lambda: tree)
    late.tree = tree
    return late
