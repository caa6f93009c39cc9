"""The DNSSEC step of a check: the chain in one line, where it breaks, what is worth a warning."""

from dataclasses import replace
from datetime import timedelta

import sample_checks as sample

from scanner.cli.render import Style
from scanner.cli.render_check import check_page
from scanner.cli.render_zones import broken_at, chain_lines, remedy_lines, zones_above
from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.names import Name
from scanner.model.observation import AliasHop, Lookup, Question
from scanner.model.verdict import Check
from scanner.model.vocabulary import DnssecStatus, LookupOutcome, Profile, RRType, Severity
from scanner.model.zones import ZoneNote

PLAIN = Style(unicode=False)
BOGUS = sample.zone("example.org", DnssecStatus.BOGUS, reason=DnssecReason.DS_NO_KEY)


def lines(check: Check) -> list[str]:
    return [line.plain for line in chain_lines(check.observation, PLAIN)]


def with_mx(check: Check, **changes: object) -> Check:
    route = check.observation.route
    changed = replace(route, mx=replace(route.mx, **changes))  # type: ignore[arg-type]
    return replace(check, observation=replace(check.observation, route=changed))


def asking(check: Check, name: str) -> Check:
    """Return ``check`` as one of ``name``."""
    return with_mx(check, question=Question(Name(name), RRType.MX))


def test_a_secure_chain_is_one_line() -> None:
    """From the anchor down to the zone of the domain."""
    assert lines(sample.zoned()) == ["+ . > org > example.org: secure"]


def test_a_broken_chain_ends_where_it_breaks() -> None:
    """With the reason; what lies below counts no more."""
    below = sample.zone("sub.example.org")
    check = sample.zoned(sample.bogus(), below, BOGUS, sample.zone("."), sample.zone("org"))
    check = with_mx(
        check, question=replace(check.observation.route.mx.question, name=Name("sub.example.org"))
    )
    assert lines(check) == ["x . > org > example.org: bogus [ds-no-key]"]


def test_an_unsigned_zone_is_no_failure() -> None:
    """The mark says so."""
    unsigned = sample.zone(
        "example.org", DnssecStatus.INSECURE, reason=DnssecReason.DELEGATION_UNSIGNED
    )
    check = sample.zoned(sample.opportunistic(), sample.zone("."), sample.zone("org"), unsigned)
    assert lines(asking(check, "example.org")) == [
        "- . > org > example.org: insecure [delegation-unsigned]"
    ]


def test_without_zones_there_is_no_line() -> None:
    """As where the resolver validates."""
    assert lines(sample.protected()) == []


def test_an_alias_has_a_chain_of_its_own_unless_it_is_the_same() -> None:
    """The answer is as good as the weakest."""
    check = sample.zoned(
        None,
        sample.zone("."),
        sample.zone("org"),
        sample.zone("example.org"),
        sample.zone("net"),
    )
    hops = tuple(
        AliasHop(owner=Name("example.org"), target=Name(target), status=DnssecStatus.SECURE)
        for target in ("www.example.org", "mail.net")
    )
    assert lines(with_mx(check, aliases=hops)) == [
        "+ . > org > example.org: secure",
        "+ . > net: secure",
    ]


def test_another_answer_that_is_bogus_takes_nothing_from_the_mx_records() -> None:
    """The zone is bogus all the same, and that is said."""
    check = sample.zoned(None, sample.zone("."), sample.zone("org"), BOGUS)
    assert lines(check) == [
        "+ . > org > example.org: secure",
        "! example.org: another answer of the zone is bogus [ds-no-key]",
    ]


def test_warnings_on_zones_are_shown_and_remarks_are_not() -> None:
    """A hostile zone fills no page."""
    notes = [
        ZoneNote(reason=DnssecReason.RRSIG_NEAR_EXPIRY, severity=Severity.WARNING, message=f"{n}.")
        for n in range(30)
    ]
    remark = ZoneNote(
        reason=DnssecReason.KEY_PREPUBLISHED, severity=Severity.INFO, message="a key."
    )
    shown = lines(
        sample.zoned(
            None, sample.zone("org", notes=[remark]), sample.zone("example.org", notes=notes)
        )
    )
    assert shown[1] == "! example.org: 0. [rrsig-near-expiry]"
    assert len(shown) == 7
    assert "a key." not in "".join(shown)


def test_islands_begin_at_their_own_anchor() -> None:
    """Names are compared by label."""
    zones = [sample.zone("example.org"), sample.zone("xample.org"), sample.zone("mx.example.org")]
    found = zones_above(Name("a.mx.example.org"), zones)
    assert [zone.zone for zone in found] == ["example.org", "mx.example.org"]


def failed(detail: str | None = None) -> Lookup:
    lookup = sample.lookup(
        "_25._tcp.mx.example.org", RRType.TLSA, LookupOutcome.SERVFAIL, DnssecStatus.BOGUS
    )
    return replace(
        lookup,
        dnssec_zone=Name("example.org"),
        dnssec_reason=DnssecReason.DS_NO_KEY,
        detail=detail,
    )


def test_a_failed_lookup_says_where_its_chain_ends_unless_its_detail_does() -> None:
    """Nothing is said twice."""
    (line,) = broken_at(failed(), PLAIN)
    assert line.plain.startswith("example.org: The DS at the parent points to a key")
    assert line.plain.endswith("[ds-no-key]")
    told = "The DS at the parent points to a key that the zone does not have: tag 1"
    assert list(broken_at(failed(told), PLAIN)) == []
    assert list(broken_at(sample.lookup("a.test", RRType.A), PLAIN)) == []


def test_each_broken_chain_has_its_remedy_once() -> None:
    """Of the MX records and of the hosts."""
    check = sample.zoned(sample.bogus(), sample.zone("."), BOGUS)
    host = sample.protected().observation.hosts[0]
    broken = replace(host, route=replace(host.route, failed_lookup=failed()))
    observation = replace(check.observation, hosts=(broken, broken))
    (line,) = remedy_lines(observation, PLAIN)
    assert line.plain.startswith("example.org: Give the registrar the DS of a key")
    assert list(remedy_lines(sample.zoned().observation, PLAIN)) == []


def test_the_page_of_a_check_has_chain_and_remedy() -> None:
    """In the DNSSEC step, and as the one thing that the partner has to do."""
    check = sample.zoned(sample.bogus(), sample.zone("."), sample.zone("org"), BOGUS)
    check = asking(check, "example.org")
    shown = [
        line.plain
        for line in check_page(
            check,
            profile=Profile.EXCHANGE_ONLINE,
            queue_life=timedelta(hours=24),
            style=PLAIN,
            width=80,
        )
    ]
    step = next(number for number, line in enumerate(shown) if "DNSSEC: signed, but" in line)
    assert shown[step + 1].lstrip("|`- ") == "x . > org > example.org: bogus [ds-no-key]"
    advice = shown.index("What would fix it")
    remedies = [line for line in shown[advice:] if "Partner:" in line]
    assert remedies[0].lstrip().startswith("Partner: example.org: Give the registrar")
    assert len(remedies) == 1
    assert any("Look:    danewatch dnssec example.org MX" in line for line in shown)
    assert not any("Compare the key tags" in line for line in shown)


def test_another_opinion_of_a_broken_zone_is_told() -> None:
    """Whoever is right; other warnings on it would only bury what is broken."""
    notes = [
        ZoneNote(reason=reason, severity=Severity.WARNING, message=f"{reason}.")
        for reason in (DnssecReason.RESOLVER_DISAGREES, DnssecReason.RRSIG_NEAR_EXPIRY)
    ]
    broken = replace(BOGUS, notes=tuple(notes))
    check = sample.zoned(sample.bogus(), sample.zone("."), sample.zone("org"), broken)
    shown = lines(asking(check, "example.org"))
    assert shown[1:] == ["! example.org: resolver-disagrees. [resolver-disagrees]"]
