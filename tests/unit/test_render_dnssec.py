"""The page of a chain: what it says, in 80 columns, whatever a peer sends."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import validations as made
from rich.cells import cell_len
from validations import DAY, NOW

from scanner.cli.render import Style
from scanner.cli.render_dnssec import MAX_FINDINGS, MAX_SHOWN, dnssec_page
from scanner.judge.dnssec.forecast import forecast
from scanner.model.dnssec import DnssecFinding, Validation
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name
from scanner.model.observation import ExtendedError, OtherRecord

PLAIN = Style(unicode=False)


def page(
    validation: Validation,
    ahead: Sequence[DnssecFinding] = (),
    *,
    style: Style = PLAIN,
    width: int = 80,
) -> str:
    lines = [line.plain for line in dnssec_page(validation, ahead, style=style, width=width)]
    assert all(cell_len(line) <= width for line in lines), lines
    assert all(line == line.rstrip() for line in lines)
    return "\n".join(lines)


def flowing(text: str) -> str:
    """Return the words of a page, without its lines and guides."""
    return " ".join(text.replace("|", " ").split())


@pytest.mark.parametrize("make", made.ALL.values(), ids=made.ALL)
@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("unicode", [True, False])
def test_every_page_fits_its_width_and_its_terminal(
    make: Callable[[], Validation], width: int, unicode: bool
) -> None:
    """ASCII where the terminal has no more."""
    shown = page(make(), style=Style(unicode=unicode), width=width)
    assert unicode or shown.isascii()


def test_a_secure_chain_goes_from_the_anchor_to_the_answer() -> None:
    """Every zone with DS, key, and signatures against now."""
    shown = page(made.secure())
    assert shown.startswith(
        "+ example.org MX is secure: every link from the trust anchor down holds."
    )
    lines = [line.lstrip("|`- ") for line in shown.splitlines()]
    order = [
        "+ . (trust anchor): secure",
        "+ Anchor 20326 ECDSAP256SHA256 SHA-256 fits a key that signs",
        "+ org: secure",
        "+ RRSIG over DS by 20326 of . (began 4 days ago, ends in 10 days)",
        "+ example.org: secure",
        "+ DS 815 ECDSAP256SHA256 SHA-256 fits a key that signs",
        "+ DNSKEY 815 ECDSAP256SHA256 256 bits, KSK",
        "+ RRSIG over DNSKEY by 815 (began 4 days ago, ends in 10 days)",
        "+ example.org MX: 1 record",
        "MX 10 mx.example.org.",
        "+ RRSIG over MX by 815 (began 4 days ago, ends in 10 days)",
    ]
    positions = [lines.index(line) for line in order]
    assert positions == sorted(positions)
    assert "Findings" not in shown
    assert "What would" not in shown


def test_a_broken_chain_says_which_zone_which_key_and_what_to_do() -> None:
    """First in words, then at its place in the tree."""
    shown = flowing(page(made.no_key()))
    assert shown.startswith("x example.org MX is bogus: validating resolvers refuse to answer.")
    assert "Breaks at example.org: The DS at the parent points to a key" in shown
    assert "[ds-no-key] extended error 9" in shown
    assert "x example.org: bogus [ds-no-key]" in shown
    assert "x DS 999 ECDSAP256SHA256 SHA-256: no such key in the zone" in shown
    assert "- DNSKEY 815 ECDSAP256SHA256 256 bits, KSK" in shown
    assert "RRSIG over MX: not checked, the chain ends above" in shown
    assert "What would fix it example.org: Give the registrar the DS of a key" in shown
    assert "(who signs and serves the zone) [ds-no-key]" in shown


def test_an_expired_signature_shows_when_it_ended() -> None:
    """Against now, at the record it covers."""
    shown = flowing(page(made.expired()))
    assert "x RRSIG over MX by 815: began 15 days ago, ended 24 hours ago [rrsig-expired]" in shown
    assert "Breaks at example.org: The signature has expired. [rrsig-expired]" in shown


def test_a_signature_to_come_says_when_it_begins() -> None:
    """The other way round."""
    early = made.signature(
        "example.org", made.MX, 815, begins=2 * DAY, reason=DnssecReason.RRSIG_NOT_YET_VALID
    )
    answer = made.rrset(
        "example.org", made.MX, "example.org", early, reason=DnssecReason.RRSIG_NOT_YET_VALID
    )
    shown = flowing(page(replace(made.expired(), rrsets=(answer,))))
    assert "x RRSIG over MX by 815: begins in 2 days, ends in 10 days" in shown


def test_an_unsigned_zone_is_nobodys_fault() -> None:
    """The chain ends, and that is proven by the parent."""
    shown = flowing(page(made.unsigned()))
    assert shown.startswith("- example.org MX is insecure: nothing protects it.")
    assert "Ends at example.org: The parent proves that there is no DS" in shown
    assert "- DS: none, and that is proven" in shown
    assert "RRSIG over NSEC by 4711 of org" in shown
    assert "What would protect it example.org: Sign the zone" in shown
    assert "x " not in shown


def test_a_question_without_an_answer_shows_what_the_resolver_said() -> None:
    """The detail and its extended errors, made harmless."""
    errors = (ExtendedError(code=22, text="at \x1b[31mdelegation"),)
    shown = flowing(page(replace(made.no_answer(), extended_errors=errors)))
    assert shown.startswith("? example.org MX is indeterminate")
    assert "no reply from 192.0.2.53:53" in shown
    assert r"the resolver says: extended error 22 at \x1b[31mdelegation" in shown


def test_a_fault_of_ours_blames_nobody() -> None:
    """No remedy for others, and no word that a resolver would refuse it."""
    broken = made.root_broken()
    noted = replace(made.no_key().findings[0], zone=Name("."), owner=Name("."))
    shown = flowing(page(replace(broken, findings=(noted,))))
    assert shown.startswith("? example.org MX cannot be judged from here.")
    assert "This is on our side: the root zone could not be validated." in shown
    remedies = shown.partition("What would fix it")[2]
    assert "Renew the trust anchor" in remedies
    assert "registrar" not in remedies


def test_a_root_our_resolver_hides_is_not_for_the_root_to_repair() -> None:
    """A resolver that leaves out the root's keys: look here, not at who signs the root."""
    broken = replace(made.root_broken(), reason=DnssecReason.DNSKEY_MISSING, findings=())
    remedies = flowing(page(broken)).partition("What would fix it")[2]
    assert "Look at the resolver, the trust anchor, the clock and the network" in remedies
    assert "Sign the zone again" not in remedies


def test_aliases_wildcards_and_denials_have_their_lines() -> None:
    """Also a name where no zone begins."""
    shown = flowing(page(made.aliased()))
    assert "- a.example.org: no zone begins here, it belongs to example.org" in shown
    assert "+ b.a.example.org is an alias of c.example.org" in shown
    assert "- b.a.example.org: made from *.a.example.org" in shown
    assert "+ c.example.org MX: no such record, and that is proven" in shown


def test_what_is_to_come_is_a_finding_with_its_own_mark() -> None:
    """A warning is no failure."""
    keys = (made.key(815), made.key(900), made.key(901))
    validation = made.secure(links=made.chain(last=replace(made.chain()[-1], dnskeys=keys)))
    shown = flowing(page(validation, forecast(validation, now=NOW)))
    assert "Findings ! example.org DNSKEY: Several keys of one kind are published" in shown
    assert "keys 900/13 901/13. [key-unused]" in shown


def test_a_ds_beside_a_working_one_is_marked_as_not_needed() -> None:
    """Part of a change of keys, not a failure."""
    last = replace(
        made.chain()[-1],
        ds=(made.ds(815), made.ds(900), made.ds(901)),
        dnskeys=(made.key(815), made.key(900)),
    )
    shown = page(made.secure(links=made.chain(last=last)))
    assert "- DS 900 ECDSAP256SHA256 SHA-256: not needed" in shown
    assert "- DS 901 ECDSAP256SHA256 SHA-256: no such key in the zone" in shown


def test_a_key_that_is_no_zone_key_is_marked() -> None:
    """RFC 4034 §2.1.1: its flags say so."""
    last = replace(made.chain()[-1], dnskeys=(made.key(815), made.key(900, flags=0)))
    shown = page(made.secure(links=made.chain(last=last)))
    assert "! DNSKEY 900 ECDSAP256SHA256 256 bits, ZSK: not a zone key (flags 0)" in shown


def test_a_record_set_without_signatures_says_so() -> None:
    """In a zone that is signed."""
    answer = made.rrset("example.org", made.MX, "example.org", reason=DnssecReason.RRSIG_MISSING)
    shown = page(replace(made.expired(), rrsets=(answer,)))
    assert "x RRSIG over MX: none [rrsig-missing]" in shown


def test_signatures_that_were_not_looked_at_are_counted_where_that_matters() -> None:
    """A limit was reached before."""
    bad = made.signature("example.org", made.MX, 1, reason=DnssecReason.RRSIG_INVALID)
    left = made.signature("example.org", made.MX, 2, checked=False)
    answer = made.rrset(
        "example.org", made.MX, "example.org", bad, left, left, reason=DnssecReason.RRSIG_INVALID
    )
    assert "and 2 more signatures" in page(replace(made.expired(), rrsets=(answer,)))


def test_a_hostile_zone_fills_no_terminal() -> None:
    """Sets are cut, and the rest is counted."""
    keys = tuple(made.key(tag) for tag in range(100))
    last = replace(made.chain()[-1], dnskeys=keys, ds=tuple(made.ds(tag) for tag in range(50)))
    records = tuple(OtherRecord(text=f"\x1b]0;{number}\x07" + "x" * 9_000) for number in range(99))
    (noted,) = made.no_key().findings
    findings = tuple(replace(noted, message=f"number {number}.") for number in range(100))
    hostile = made.secure(
        links=made.chain(last=last), records=records, findings=findings, detail="y" * 9_000
    )
    shown = page(hostile)
    assert f"and {100 - MAX_SHOWN} more keys" in shown
    assert f"and {50 - MAX_SHOWN} more DS records" in shown
    assert f"and {99 - MAX_SHOWN} more records" in shown
    assert f"and {100 - MAX_FINDINGS} more findings" in shown
    assert "\x1b" not in shown
    assert len(shown.splitlines()) < 250
