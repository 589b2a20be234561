"""Seeded decisions that depend on what they are about and not on the order in which they are made."""

from hashlib import blake2b


def chance(*about: object) -> float:
    """A number in [0, 1), always the same for the same arguments, on every machine."""
    digest = blake2b(repr(about).encode(), digest_size=8).digest()
    # 53 bits are what a float holds: more could round up to 1.0
    return (int.from_bytes(digest) >> 11) / 2**53
