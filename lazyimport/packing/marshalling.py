"""One code object, one sequence of bytes.

`canonical` takes what ``marshal.dumps(code)`` returned on any Python from
3.10 to 3.15 and returns a stream that loads to an equal code object and depends
on nothing but its value.

Why that is needed: what ``marshal`` writes depends on the interpreter's past.
``FLAG_REF`` is set where an object's reference count is above one, so on what
else is alive (CPython issue 129724); a string is written as interned if anybody
interned it; a frozenset is written in iteration order on 3.10, which follows the
address of ``None``, and in an order that ``FLAG_REF`` takes part in after that.

The rules of the canonical form:

- Equal values (same type, same bits, same parts) are written once; each later
  place is a ``TYPE_REF``. ``FLAG_REF`` is set where such a reference exists and
  nowhere else, and references are numbered in the order of the stream.
- A string is written as interned if it consists of ``[A-Za-z0-9_]`` only, which is
  what the compiler interns everywhere. The constructor of code objects interns the
  names it needs, whatever the stream says.
- A frozenset's elements are ordered by their written-out bytes. NaN may be in it
  more than once, as it is not equal to itself: each time it is another object.

The compile children run this file as plain text under their own Python, with no
path to this package. So it imports nothing, and it needs no recursion: nested
lambdas go deeper than the recursion limit.
"""

from __future__ import annotations

from typing import TypeAlias

# A leaf is its own bytes without FLAG_REF; an int is a bare 32-bit field.
Part: TypeAlias = "bytes | int | _Node"

FLAG_REF = 0x80
NAME_CHARACTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
# An element of a frozenset is written out in full to be ordered. Only references
# to references to references can make that long.
LONGEST_SORT_KEY = 1 << 24

# What follows the type byte. Left out on purpose: list, dict, set and frozendict
# (the compiler makes no such constants, and mutable ones may not be shared), and
# the int64 and text forms of numbers, which no supported version writes.
_SINGLE = frozenset(b"NFT.S")
_FIXED = {ord("i"): 5, ord("g"): 9, ord("y"): 17}
_MAYBE_NAN = frozenset(b"gy")
_SHORT_TEXT = frozenset(b"zZ")
_TEXT = frozenset(b"aAut")
_BYTES = ord("s")
_LONG = ord("l")
_REF = ord("r")
_SMALL_TUPLE = ord(")")
_TUPLE = ord("(")
_FROZENSET = ord(">")
_SLICE = ord(":")
_CODE = ord("c")
_INTERNED = {ord("z"): b"Z", ord("Z"): b"Z", ord("a"): b"A", ord("A"): b"A"}
_PLAIN = {ord("Z"): b"z", ord("A"): b"a", ord("t"): b"u"}
_LONE = {code: bytes([code]) for code in _SINGLE}

# Code objects: 32-bit fields, eight objects, the first line number, more objects.
# 3.10 writes (fields, objects at the end) as (6, 1), everything since as (5, 2).
_BEFORE_LINE = 8
_HEAD_310 = 24
_HEAD_311 = 20


class _Node:
    """A container; the same value is always the same node."""

    __slots__ = ("head", "parts")

    def __init__(self, head: bytes, parts: list[Part]) -> None:
        self.head = head
        self.parts = parts


def canonical(data: bytes) -> bytes:
    """Return the canonical stream for the value that *data* holds.

    Raises ValueError if *data* is not exactly one value of the kinds that code
    consists of: cut short, followed by more, of an unknown type, or referring to
    something that is not there.
    """
    try:
        root, end = _parse(data)
    except IndexError:
        raise ValueError("bad marshal data: cut short") from None
    if end != len(data):
        problem = (
            "cut short" if end > len(data) else f"{len(data) - end} bytes too many"
        )
        raise ValueError(f"bad marshal data: {problem}")
    return _write(root)


def _parse(data: bytes) -> tuple[Part, int]:  # noqa: C901, PLR0912, PLR0915 - one loop over
    # every type: calls would cost more than the work
    """Return the value *data* begins with and the offset of its end."""
    size = len(data)
    number = int.from_bytes
    leaves: dict[bytes, bytes] = {}  # as read -> as written
    nodes: dict[tuple[Part, ...], _Node] = {}
    twins: dict[tuple[Part, int], Part] = {}
    refs: list[Part | None] = []
    parts: list[Part] = []  # of the container being read
    left = 1  # how many of them are missing
    head = b""
    slot = -1  # its place in refs
    open_: list[tuple[list[Part], int, bytes, int]] = []
    trailing = 0  # objects after the line number: 1 on 3.10, 2 since, 0 not known yet
    pos = 0
    while True:
        while not left:
            kind = head[0] if head else 0
            if not kind:
                return parts[0], pos
            if kind == _CODE and len(parts) == _BEFORE_LINE:
                parts.append(number(data[pos : pos + 4], "little"))
                pos += 4
                left = trailing
                break
            if kind == _FROZENSET and len(parts) > 1:
                parts.sort(key=_sort_key)
                parts = _apart(parts, twins)
            key = (head, *parts)
            node = nodes.get(key)
            if node is None:
                node = nodes[key] = _Node(head, parts)
            if slot >= 0:
                refs[slot] = node
            parts, left, head, slot = open_.pop()
            parts.append(node)
        if not left:
            continue
        left -= 1
        start = pos
        code = data[pos]
        flagged = code >= FLAG_REF
        code &= 0x7F
        if code in _SHORT_TEXT:
            pos += 2 + data[pos + 1]
        elif code == _REF:
            pos += 5
            index = number(data[start + 1 : pos], "little")
            part = refs[index] if index < len(refs) and not flagged else None
            if part is None:
                raise ValueError(f"bad marshal data: reference {index} at {start}")
            parts.append(part)
            continue
        elif code in _SINGLE:
            if flagged:
                raise ValueError(f"bad marshal data: type {data[start]:#x} at {start}")
            pos += 1
            parts.append(_LONE[code])
            continue
        elif code == _BYTES or code in _TEXT:
            pos += 5 + number(data[pos + 1 : pos + 5], "little")
        elif code in _FIXED:
            pos += _FIXED[code]
        elif code == _LONG:
            pos += 5 + 2 * abs(number(data[pos + 1 : pos + 5], "little", signed=True))
        else:
            open_.append((parts, left, head, slot))
            parts = []
            slot = -1
            if flagged:
                slot = len(refs)
                refs.append(None)
            if code == _SMALL_TUPLE:
                pos += 2
                left = data[start + 1]
                head = data[start:pos]
            elif code in (_TUPLE, _FROZENSET):
                pos += 5
                left = number(data[start + 1 : pos], "little")
                head = data[start:pos]
            elif code == _SLICE:
                pos += 1
                left = 3
                head = b":"
            elif code == _CODE:
                trailing = trailing or _code_layout(data, pos + 1)
                pos += 1 + (_HEAD_310 if trailing == 1 else _HEAD_311)
                left = _BEFORE_LINE
                head = data[start:pos]
            else:
                raise ValueError(f"bad marshal data: type {data[start]:#x} at {start}")
            if pos + left > size:  # each part takes a byte at least
                raise ValueError("bad marshal data: cut short")
            if flagged:
                head = bytes([code]) + head[1:]
            continue
        # A leaf of several bytes.
        if pos > size:
            raise ValueError("bad marshal data: cut short")
        raw = data[start:pos]
        leaf = leaves.get(raw)
        if leaf is None:
            leaf = leaves[raw] = _leaf(code, raw)
        if flagged:
            refs.append(leaf)
        parts.append(leaf)


def _apart(parts: list[Part], twins: dict[tuple[Part, int], Part]) -> list[Part]:
    """Return the elements of a set, equal ones as different parts."""
    seen: dict[Part, int] = {}
    apart = []
    for part in parts:
        count = seen[part] = seen.get(part, -1) + 1
        apart.append(_twin(part, count, twins) if count else part)
    return apart


def _twin(part: Part, count: int, twins: dict[tuple[Part, int], Part]) -> Part:
    """Return the *count*-th other part like *part*: whatever NaN is in is copied."""
    twin = twins.get((part, count))
    if twin is None:
        twin = part
        if isinstance(part, _Node):
            twin = _Node(
                part.head, [_twin(inner, count, twins) for inner in part.parts]
            )
        elif isinstance(part, bytes) and part[0] in _MAYBE_NAN:
            twin = _Node(part, [])
        twins[part, count] = twin
    return twin


def _leaf(code: int, raw: bytes) -> bytes:
    """Return the bytes to write for the leaf *raw*, without FLAG_REF."""
    if code in _SHORT_TEXT or code in _TEXT:
        body = raw[2:] if code in _SHORT_TEXT else raw[5:]
        if code in _INTERNED and not body.translate(None, NAME_CHARACTERS):
            return _INTERNED[code] + raw[1:]
        return _PLAIN.get(code, bytes([code])) + raw[1:]
    return bytes([code]) + raw[1:]


def _code_layout(data: bytes, pos: int) -> int:
    """Return how many objects follow the line number in code that begins at *pos*.

    Nothing in the stream says which version wrote it. But the first object is the
    bytecode, as bytes or as a reference, and it fits into the data. Where 3.10 has
    its sixth field instead, ``co_flags`` of a nested generator may look like such
    a type byte, but then the size after it ends in the true one, above 1.9 GB.
    """
    for start, trailing in ((pos + _HEAD_311, 2), (pos + _HEAD_310, 1)):
        if data[start] & 0x7F in (_BYTES, _REF):
            size = int.from_bytes(data[start + 1 : start + 5], "little")
            if size <= len(data) - start:
                return trailing
    raise ValueError(f"bad marshal data: no known layout of code at {pos}")


def _sort_key(part: Part) -> bytes:
    """Return *part* written out, without references."""
    if isinstance(part, bytes):
        return part
    key = bytearray()
    todo: list[Part] = [part]
    while todo:
        item = todo.pop()
        if isinstance(item, bytes):
            key += item
        elif isinstance(item, int):
            key += item.to_bytes(4, "little")
        else:
            key += item.head
            todo.extend(item.parts[::-1])
        if len(key) > LONGEST_SORT_KEY:
            raise ValueError("bad marshal data: a frozenset too deep to be ordered")
    return bytes(key)


def _write(root: Part) -> bytes:
    """Return the stream of *root*, equal parts as references to the first."""
    pieces: list[bytes] = []
    first: dict[Part, int] = {}  # part -> its place in pieces
    repeats: list[tuple[int, int]] = []  # a place to refer, the place referred to
    todo: list[Part] = [root]
    while todo:
        part = todo.pop()
        kind = type(part)
        if kind is int:  # not by isinstance: this is the inner loop
            pieces.append(part.to_bytes(4, "little"))  # type: ignore[union-attr]
            continue
        place = len(pieces)
        known = first.setdefault(part, place)
        if known != place:
            repeats.append((place, known))
            pieces.append(b"")
        elif kind is bytes:
            pieces.append(part)  # type: ignore[arg-type]
            if len(part) == 1:  # type: ignore[arg-type]
                del first[part]  # None and the like: the type byte is all there is
        else:
            pieces.append(part.head)  # type: ignore[union-attr]
            todo.extend(part.parts[::-1])  # type: ignore[union-attr]
    numbers = {
        place: index for index, place in enumerate(sorted({k for _, k in repeats}))
    }
    for place in numbers:
        piece = pieces[place]
        pieces[place] = bytes([piece[0] | FLAG_REF]) + piece[1:]
    for place, known in repeats:
        pieces[place] = b"r" + numbers[known].to_bytes(4, "little")
    return b"".join(pieces)
