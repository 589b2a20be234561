"""Whether the rows of a file bring usable ids of their own."""

import hashlib
from array import array
from itertools import pairwise

from bootcamp_cli.dataset.testset import IdRule


class OwnIds:
    """Takes the own id of every row of a file and says in the end whether they can serve as ids.

    They can where every row has one, all scalars of one type (string, integer, float, boolean), no two the same.
    Held are 8 bytes of a hash per row, not the ids: a file of a million rows costs 8 MB, and taking two different
    ids for the same has a chance of 1 to 37 million and does no more than number the rows.
    """

    def __init__(self) -> None:
        self._type: type | None = None
        self._usable = True
        self._hashes = array("Q")

    def add(self, own_id: str | float | bool | None) -> None:  # noqa: FBT001 - an id may be a boolean
        """Take the next row's id; None where the row has none."""
        if not self._usable:
            return
        self._type = self._type or type(own_id)
        if own_id is None or type(own_id) is not self._type:
            self._usable = False
            self._hashes = array("Q")
            return
        content = own_id if isinstance(own_id, str) else repr(own_id)
        self._hashes.append(int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest(), "big"))

    def rule(self) -> IdRule:
        """`own` where the ids seen can serve, else `row`."""
        if not self._usable or not self._hashes:
            return "row"
        return "row" if any(a == b for a, b in pairwise(sorted(self._hashes))) else "own"
