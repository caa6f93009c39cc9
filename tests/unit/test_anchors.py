"""Trust anchors: the root's, files of DS and DNSKEY records, the closest one for a name."""

from pathlib import Path

import pytest
from signed_replies import Signer

from scanner.judge.dnssec.anchors import ROOT_ANCHOR, Anchors, InvalidAnchorError, read_anchors
from scanner.model.dnssec import Anchor
from scanner.model.names import ROOT, Name

DIGEST = "ab" * 32


def test_the_root_anchors_are_those_of_iana() -> None:
    """As Debian's dns-root-data ships them, KSK-2017 and KSK-2024."""
    text = (
        ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n"
        ". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16\n"
    )
    assert read_anchors(text) == (ROOT_ANCHOR,)
    installed = Path("/usr/share/dns/root.ds")
    if installed.exists():
        assert set(read_anchors(installed.read_text())[0].ds) == set(ROOT_ANCHOR.ds)


def test_ds_and_dnskey_of_several_zones_are_read() -> None:
    """With TTL, class, comments, parentheses and digests in pieces, or without."""
    key = Signer("island.test.", algorithm=8)
    text = f"""
    ; an island
    Island.Test. 3600 IN DNSKEY {key.dnskey.to_text()}
    test IN DS 1 13 2 ( {DIGEST[:32]}
        {DIGEST[32:]} ) ; over two lines
    test. DS 2 13 2 {DIGEST}
    """
    island, top = read_anchors(text)
    assert (island.zone, island.dnskeys) == ("island.test", (key.model_key,))
    assert (top.zone, [ds.key_tag for ds in top.ds]) == ("test", [1, 2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no DS or DNSKEY record"),
        ("; nothing", "no DS or DNSKEY record"),
        (". IN A 192.0.2.1", ":1: neither a DS nor a DNSKEY"),
        (".", ":1: neither"),
        ("\n. IN DS 1 13 2", ":2: neither"),
        (". IN DS 65536 13 2 ab", "'65536' is not a number from 0 to 65535"),
        (". IN DS 1 256 2 ab", "'256' is not a number from 0 to 255"),
        (". IN DS x 13 2 ab", "'x' is not a number"),
        (". IN DS 1 13 2 xy", "not hexadecimal"),
        (". IN DNSKEY 257 3 13 a", "not base64"),
        ("a..b IN DS 1 13 2 ab", "is no zone"),
        (". IN DS ( 1 13 2 ab", ":1: a parenthesis is not closed"),
        (". IN DS 1 13 2 ab )", ":1: a parenthesis too many"),
        ("a" * 1_000_001, "longer than"),
    ],
)
def test_what_is_no_anchor_is_named_with_its_line(text: str, message: str) -> None:
    """Rather than trusted less than the operator meant."""
    with pytest.raises(InvalidAnchorError, match="file") as caught:
        read_anchors(text, source="file")
    assert message in str(caught.value)


def test_the_closest_anchor_counts() -> None:
    """RFC 6840 §5.10, appendix C."""
    anchors = Anchors([ROOT_ANCHOR, Anchor(zone=Name("island.test"))])
    for name, zone in (
        ((b"test", b"island", b"a"), "island.test"),
        ((b"test", b"island"), "island.test"),
        ((b"test",), ROOT),
        ((), ROOT),
    ):
        found = anchors.for_name(name)
        assert found is not None
        assert found.zone == zone
    assert Anchors([Anchor(zone=Name("test"))]).for_name((b"other",)) is None
    assert len(anchors) == 2
