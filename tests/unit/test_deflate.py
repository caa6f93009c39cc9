"""Pieces compressed apart are one gzip member when joined."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.deflate import GZIP_HEADER, GZIP_TRAILER_SIZE, Piece, gzip_trailer, piece_of


def joined(pieces: list[Piece]) -> bytes:
    """Return the gzip file made of ``pieces``."""
    return GZIP_HEADER + b"".join(piece.data for piece in pieces) + gzip_trailer(pieces)


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_what_is_joined_is_the_texts_one_after_another(texts: list[bytes]) -> None:
    """As Python's gzip reads it, which checks the CRC and the length."""
    pieces = [piece_of(text) for text in texts]
    assert gzip.decompress(joined(pieces)) == b"".join(texts)


def test_it_is_one_member_with_nothing_behind() -> None:
    """Some clients stop after the first member."""
    reader = zlib.decompressobj(zlib.MAX_WBITS | 16)
    text = reader.decompress(joined([piece_of(b"one\n"), piece_of(b"two\n")]))
    assert text == b"one\ntwo\n"
    assert reader.eof
    assert reader.unused_data == b""


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65_535, 65_536, 1_000_003])
def test_the_crc_of_a_joint_text_is_found_without_reading_it(size: int) -> None:
    """Whatever the length of what follows."""
    first, second = piece_of(b"some text before"), piece_of(b"\xa5" * size)
    trailer = gzip_trailer([first, second])
    expected = zlib.crc32(b"some text before" + b"\xa5" * size)
    assert trailer[-8:-4] == expected.to_bytes(4, "little")


def test_the_length_is_kept_modulo_two_to_the_32() -> None:
    """As RFC 1952 §2.3.1 has it; a page may be larger."""
    large = Piece(data=b"", size=(1 << 32) + 5, crc=0)
    assert gzip_trailer([large])[-4:] == (5).to_bytes(4, "little")


def test_the_trailer_has_the_size_that_is_announced() -> None:
    """Content-Length is told before the body is made."""
    assert len(gzip_trailer([])) == GZIP_TRAILER_SIZE
    assert len(gzip_trailer([piece_of(b"x" * 1000)])) == GZIP_TRAILER_SIZE


def test_a_piece_gives_its_text_again() -> None:
    """For clients that take no gzip."""
    assert piece_of(b"abc" * 1000, series=3).text() == b"abc" * 1000
