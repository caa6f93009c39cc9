"""Gzip bodies made of pieces that were compressed once and are joined anew for each scrape.

Theory: a deflate stream (RFC 1951) may be cut wherever the compressor was flushed with
``Z_FULL_FLUSH``: the piece ends on a byte and the next one refers to nothing before it. So pieces
compressed apart, one behind the other, are one stream; an empty last block ends it. What gzip
(RFC 1952) adds is a CRC-32 of everything, and the CRC of a joint text follows from the CRCs of its
parts: ``crc(AB) = crc(A) * x^(8 |B|) + crc(B)`` over GF(2), modulo the polynomial of CRC-32.
Multiplying by ``x^(8 * 2^k)`` is four look-ups in tables, one set of tables for each bit of |B|.

The result is one gzip member, which every client reads, and not a row of members, which some do
not. Compressing releases the interpreter's lock.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

LEVEL = 1
"""Of zlib. The page is lines that differ in a name: level 6 takes twice as long for 8 % less."""
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
"""No name, no time (so that equal pages are equal bytes), fastest method, unknown system."""
_LAST_BLOCK = b"\x03\x00"
_POLYNOMIAL = 0xEDB88320  # of CRC-32 with the bits reversed, as gzip has it


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One piece of a page: compressed, with size, CRC-32 and series count of its text."""

    data: bytes
    size: int
    crc: int
    series: int = 0

    def text(self) -> bytes:
        """Return the text again."""
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(self.data)


def piece_of(text: bytes, *, series: int = 0) -> Piece:
    """Return ``text`` as a piece."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = compressor.compress(text) + compressor.flush(zlib.Z_FULL_FLUSH)
    return Piece(data=data, size=len(text), crc=zlib.crc32(text), series=series)


def gzip_trailer(pieces: Iterable[Piece]) -> bytes:
    """Return what follows the last of ``pieces`` in a gzip file."""
    crc, size = 0, 0
    for piece in pieces:
        crc = _shifted(crc, piece.size) ^ piece.crc
        size += piece.size
    return _LAST_BLOCK + crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")


GZIP_TRAILER_SIZE = len(_LAST_BLOCK) + 8


def _shifted(crc: int, size: int) -> int:
    """Return ``crc * x ** (8 * size)``: what a CRC becomes by ``size`` octets behind its own."""
    position = 0
    while size:
        if size & 1:
            one, two, three, four = _tables(position)
            crc = one[crc & 255] ^ two[crc >> 8 & 255] ^ three[crc >> 16 & 255] ^ four[crc >> 24]
        size >>= 1
        position += 1
    return crc


Tables = tuple[list[int], list[int], list[int], list[int]]


@cache
def _tables(position: int) -> Tables:
    """Return, for each of the four octets of a CRC, its products with ``x ** (8 * 2**position)``.

    The next is the last applied twice; a page of 2 GiB needs 31 of them, 1 MB in all.
    """
    columns = [1 << bit for bit in range(32)]
    if position == 0:
        for _ in range(8):
            columns = [one >> 1 ^ _POLYNOMIAL if one & 1 else one >> 1 for one in columns]
    else:
        half = 1 << position - 1
        columns = [_shifted(_shifted(one, half), half) for one in columns]
    octets = [_octet_table(columns[start : start + 8]) for start in range(0, 32, 8)]
    return octets[0], octets[1], octets[2], octets[3]


def _octet_table(columns: list[int]) -> list[int]:
    """Return the image of each octet, from those of its eight bits."""
    table = [0]
    for column in columns:
        table += [one ^ column for one in table]
    return table
