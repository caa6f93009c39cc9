"""Hostile bytes as certificates, records and chains: a value or a declared error, nothing else."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from minting import NOW, UNKNOWN_EXTENSION, key_usage, mint

from scanner.judge import der
from scanner.judge.certificate import load, read_certificate, spki_of
from scanner.judge.der import DerError
from scanner.judge.matching import Match, match
from scanner.judge.publickey import describe_key, is_public_key, is_weak_key
from scanner.judge.signature import is_weak_signature, verify
from scanner.judge.tlsa import assess, expected_records, presentation, rdata, unusable_reason
from scanner.model.names import Name
from scanner.model.observation import TlsaRecord
from scanner.model.policy import Policy
from scanner.model.reasons import Reason

ROOT = mint("root", ca=True)
RICH = mint(
    "ca",
    ROOT,
    ca=True,
    path_length=2,
    dns=["a.example.com", "*.example.com"],
    extensions=[
        (key_usage("key_cert_sign"), True),
        (x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")]), False),
        (x509.SubjectKeyIdentifier(b"\x01" * 20), False),
        (x509.AuthorityKeyIdentifier(b"\x02" * 20, None, None), False),
        (x509.NameConstraints([x509.DNSName("example.com")], [x509.DNSName("x.test")]), True),
        (x509.UnrecognizedExtension(UNKNOWN_EXTENSION, b"\x05\x00"), False),
    ],
)
LEAF = mint("leaf", RICH, dns=["mx1.example.com"])
SEEDS = [ROOT.der, RICH.der, LEAF.der]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good certificate after a few cuts, flips, insertions and splices."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.integers(0, 4)):
            case 0 if data:
                data[at] = draw(st.integers(0, 255))
            case 1:
                data[at:at] = draw(st.binary(max_size=4))
            case 2:
                del data[at : at + draw(st.integers(1, 8))]
            case 3:
                other = draw(st.sampled_from(SEEDS))
                start = draw(st.integers(0, len(other)))
                data[at : at + 16] = other[start : start + 16]
            case _:
                del data[at:]
    return bytes(data)


BYTES = st.one_of(st.binary(max_size=200), mutated(), st.sampled_from(SEEDS))
FIELD = st.none() | st.integers(0, 255)
RECORDS = st.builds(
    TlsaRecord,
    usage=st.sampled_from([2, 3]) | FIELD,
    selector=st.sampled_from([0, 1]) | FIELD,
    matching_type=st.sampled_from([0, 1, 2]) | FIELD,
    data=BYTES | st.binary(min_size=32, max_size=32) | st.binary(min_size=64, max_size=64),
)


@settings(max_examples=500)
@given(data=BYTES)
def test_any_bytes_are_a_certificate_or_a_problem(data: bytes) -> None:
    """And a second reading says the same, whether or not the first was remembered."""
    facts = read_certificate(data)
    assert (facts.problem is None) == (load(data) is not None)
    assert facts == read_certificate(bytes(bytearray(data)))
    if facts.problem is None:
        assert facts.spki_sha256 is not None
        assert spki_of(data) is not None
    for text in (facts.subject, facts.issuer, *facts.names):
        assert text is None or text.isprintable()


@settings(max_examples=500)
@given(data=BYTES)
def test_any_bytes_are_der_or_an_error(data: bytes) -> None:
    """The reader raises DerError and nothing else, at any depth."""
    pending = [data]
    while pending:
        try:
            found = list(der.elements(pending.pop()))
        except DerError:
            continue
        for element in found:
            for read in (der.integer, der.boolean, der.bit_string, der.named_bits, der.oid):
                with suppress(DerError):
                    read(element)
            with suppress(DerError):
                assert der.time(element).tzinfo is not None
            if element.tag & 0x20:
                pending.append(element.body)


@given(tag=st.sampled_from([der.UTC_TIME, der.GENERALIZED_TIME]), text=st.binary(max_size=24))
def test_any_bytes_are_a_time_or_an_error(tag: int, text: bytes) -> None:
    """Also digits in shapes that are almost right."""
    try:
        moment = der.time(der.Element(tag, text, b""))
    except DerError:
        return
    assert moment.utcoffset() == timedelta()


@given(
    digits=st.text("0123456789", min_size=8, max_size=16),
    zone=st.sampled_from(["Z", "", "+0000", "-9999", "+9959", ".5Z"]),
    tag=st.sampled_from([der.UTC_TIME, der.GENERALIZED_TIME]),
)
def test_any_digits_are_a_time_or_an_error(digits: str, zone: str, tag: int) -> None:
    """Months of 13, days of 32, years before and after all others."""
    try:
        moment = der.time(der.Element(tag, (digits + zone).encode(), b""))
    except DerError:
        return
    assert datetime(1, 1, 1, tzinfo=UTC) <= moment <= datetime.max.replace(tzinfo=UTC)


@given(data=BYTES)
def test_any_bytes_are_a_key_or_none(data: bytes) -> None:
    """Describing and weighing what may be no key never fails."""
    kind, bits = describe_key(data)
    assert bits is None or kind is not None
    assert is_weak_key(data) in (True, False)
    assert is_public_key(data) in (True, False)


@given(
    spki=st.sampled_from([ROOT.spki, b"junk"]) | BYTES,
    algorithm=st.sampled_from(
        ["1.2.840.10045.4.3.2", "1.2.840.113549.1.1.10", "1.2.840.113549.1.1.11", "1.3.101.112"]
    ),
    parameters=st.none() | st.binary(max_size=40),
    signature=st.binary(max_size=80),
    message=st.binary(max_size=10),
)
def test_no_made_up_signature_holds(
    spki: bytes, algorithm: str, parameters: bytes | None, signature: bytes, message: bytes
) -> None:
    """Whatever key, algorithm and parameters come with it."""
    assert not verify(
        spki=spki,
        algorithm=algorithm,
        parameters=parameters,
        signature=signature,
        message=message,
    )
    assert is_weak_signature(algorithm, parameters) in (True, False)


@settings(max_examples=400)
@given(records=st.lists(RECORDS, max_size=8), limit=st.integers(0, 8))
def test_any_records_are_assessed(records: list[TlsaRecord], limit: int) -> None:
    """Each is usable or has a reason, and can be shown."""
    found = assess(records, max_records=limit)
    assert len(found.records) + len(found.duplicates) == len(records)
    for item in found.records:
        assert item.unusable_reason is unusable_reason(item.record)
        assert presentation(item.record).isascii()
        assert len(rdata(item.record)) >= len(item.record.data)
    assert all(unusable_reason(record) is None for record in found.usable)


@settings(max_examples=400)
@given(
    chain=st.lists(BYTES, max_size=6),
    records=st.lists(RECORDS, max_size=5),
    agility=st.booleans(),
    budget=st.integers(0, 10),
)
def test_any_chain_and_records_give_a_match(
    chain: list[bytes], records: list[TlsaRecord], agility: bool, budget: int
) -> None:
    """Never an exception, and never success without a record to show for it."""
    result = match(
        chain,
        assess(records, max_records=64).usable,
        reference_ids=[Name("mx1.example.com")],
        now=NOW,
        policy=Policy(signature_budget=budget, max_chain_certificates=4),
        agility=agility,
    )
    assert isinstance(result, Match)
    assert result.matched == bool(result.usage)
    assert result.matched == (not result.errors)
    assert all(isinstance(reason, Reason) for reason in (*result.errors, *result.notes))


@given(chain=st.lists(mutated(), min_size=1, max_size=5))
def test_a_mutated_leaf_is_never_vouched_for_by_usage_2(chain: list[bytes]) -> None:
    """The good anchor is there, the leaf is not what it signed."""
    anchors = [
        TlsaRecord(usage=2, selector=selector, matching_type=0, data=data)
        for selector, data in ((0, ROOT.der), (0, RICH.der), (1, ROOT.spki), (1, RICH.spki))
    ]
    result = match(
        [*chain, RICH.der, ROOT.der],
        anchors,
        reference_ids=[Name("mx1.example.com")],
        now=NOW,
        policy=Policy(),
        agility=True,
    )
    assert not result.matched or chain[0] in SEEDS


@given(data=BYTES)
def test_expected_records_can_be_given_for_any_bytes(data: bytes) -> None:
    """What is shown to an operator is always a record that would match."""
    for line in expected_records(data):
        usage, selector, kind, digest = line.split()
        record = TlsaRecord(
            usage=int(usage),
            selector=int(selector),
            matching_type=int(kind),
            data=bytes.fromhex(digest),
        )
        result = match([data], [record], reference_ids=[], now=NOW, policy=Policy(), agility=True)
        assert result.matched
