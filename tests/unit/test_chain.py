"""Trust paths of DANE-TA(2): found whatever surrounds them, and never for more than the budget.

What each fault of a path gives is stated by the vectors; here is how the search behaves.
"""

import hashlib
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from minting import (
    DAY,
    ECDSA_SHA256,
    NOW,
    Minted,
    contents,
    key_usage,
    mint,
    rebuilt,
    signed_with_sha1,
)

from scanner.judge.budget import Budget
from scanner.judge.certificate import ParsedCertificate, load
from scanner.judge.chain import MAX_STEPS, ChainResult, date_faults, find_paths
from scanner.model.observation import TlsaRecord
from scanner.model.reasons import Reason

ROOT = mint("root", ca=True)
CA = mint("ca", ROOT, ca=True)
LEAF = mint("leaf", CA, dns=["mx1.example.com"])


def parsed(data: bytes) -> ParsedCertificate:
    certificate = load(data)
    assert certificate is not None
    return certificate


def anchor(of: Minted, selector: int = 0, kind: int = 1) -> TlsaRecord:
    data = of.association(selector, kind)
    return TlsaRecord(usage=2, selector=selector, matching_type=kind, data=data)


def search(
    leaf: Minted, others: list[Minted], *records: TlsaRecord, budget: int = 64
) -> ChainResult:
    return find_paths(
        parsed(leaf.der),
        [parsed(item.der) for item in others],
        records,
        now=NOW,
        budget=Budget(budget),
    )


def names_of(result: ChainResult, index: int = 0) -> list[str]:
    """The path found for a record, as subjects."""
    path = result.paths[index][1]
    assert path is not None
    return [item.subject.text.removeprefix("CN=") for item in path.certificates]


def test_a_path_runs_from_the_leaf_to_the_anchor() -> None:
    """With everything a reader wants to know of it."""
    result = search(LEAF, [CA, ROOT], anchor(ROOT))
    (record, path) = result.paths[0]
    assert record == anchor(ROOT)
    assert path is not None
    assert names_of(result) == ["leaf", "ca", "root"]
    assert path.faults == ()
    assert path.presented
    assert path.bare_key is None
    assert result.complete
    assert result.complete_to_root


def test_no_path_is_no_path() -> None:
    """And the result says why it might be so."""
    result = search(LEAF, [CA], anchor(ROOT))
    assert result.paths == ((anchor(ROOT), None),)
    assert result.complete
    assert not result.complete_to_root
    assert result.unlinked == ()
    assert not result.bad_signature


def test_among_a_hundred_certificates_the_path_costs_three_signatures() -> None:
    """Strangers are told apart by name, which costs nothing."""
    strangers = [mint(f"stranger {number}", ca=True) for number in range(97)]
    budget = Budget(64)
    result = find_paths(
        parsed(LEAF.der),
        [parsed(item.der) for item in (*strangers, ROOT, CA)],
        [anchor(ROOT)],
        now=NOW,
        budget=budget,
    )
    assert names_of(result) == ["leaf", "ca", "root"]
    assert budget.spent == 3  # leaf by ca, ca by root, root by itself


def test_a_hundred_lying_namesakes_exhaust_the_budget_and_are_told() -> None:
    """Each could be the issuer, so each costs a signature; then the search says it gave up."""
    liars = [mint("ca", key=f"liar {number}", ca=True) for number in range(100)]
    result = search(LEAF, [*liars, ROOT], anchor(ROOT), budget=20)
    assert result.paths[0][1] is None
    assert not result.complete


def test_the_namesake_the_key_identifier_points_to_is_tried_first() -> None:
    """RFC 4158 §3.5.12: then no budget is lost on the others."""
    identifier = x509.SubjectKeyIdentifier(b"\x01" * 20)
    named = mint("ca", ROOT, ca=True, extensions=[(identifier, False)])
    pointer = x509.AuthorityKeyIdentifier(b"\x01" * 20, None, None)
    leaf = mint("leaf", named, extensions=[(pointer, False)])
    liars = [mint("ca", key=f"liar {number}", ca=True) for number in range(30)]
    assert names_of(search(leaf, [*liars, named], anchor(named), budget=1)) == ["leaf", "ca"]


def test_a_key_shared_by_many_certificates_is_checked_once() -> None:
    """What is known of a key and a certificate is not computed again."""
    copies = [mint("ca", ROOT, ca=True, serial=number) for number in range(2, 40)]
    budget = Budget(64)
    result = find_paths(
        parsed(LEAF.der),
        [parsed(item.der) for item in (CA, *copies)],
        [anchor(copies[-1])],
        now=NOW,
        budget=budget,
    )
    assert names_of(result) == ["leaf", "ca"]
    assert budget.spent == 1


def test_cross_signed_authorities_by_the_dozen_end_in_bounded_steps() -> None:
    """Ten layers with six certificates each would be sixty million paths."""
    layers: list[Minted] = []
    upper = ROOT
    for number in range(10):
        below = [mint(f"layer {number}", upper, ca=True, serial=serial) for serial in range(2, 8)]
        layers += below
        upper = below[0]
    leaf = mint("leaf", upper)
    result = search(leaf, [*layers, ROOT], anchor(mint("nowhere")), budget=10_000)
    assert not result.complete
    near = search(leaf, [*layers, ROOT], anchor(layers[-1]), budget=10_000)
    assert names_of(near) == ["leaf", "layer 9"]
    assert MAX_STEPS == 2_000


def test_an_empty_budget_finds_nothing_and_says_so() -> None:
    """The first signature is already one too many."""
    result = search(LEAF, [CA], anchor(CA), budget=0)
    assert result.paths[0][1] is None
    assert not result.complete


def test_what_was_found_before_the_budget_ended_is_kept() -> None:
    """A valid path stays valid, whatever else might have been found."""
    result = search(LEAF, [CA, ROOT], anchor(CA), budget=1)
    assert names_of(result) == ["leaf", "ca"]
    assert not result.complete


def test_the_leaf_is_never_an_issuer_of_itself() -> None:
    """Not even when it is sent twice (case 69)."""
    leaf = mint("self", ca=True)
    result = search(leaf, [leaf], anchor(leaf))
    assert result.paths[0][1] is None
    assert result.complete_to_root


def test_a_twin_of_a_self_signed_leaf_is_no_issuer_either() -> None:
    """The same name and key are the same entity (RFC 4158 §2.4.2)."""
    leaf, twin = mint("self", ca=True), mint("self", ca=True, serial=2)
    assert search(leaf, [twin], anchor(twin)).paths[0][1] is None


def test_each_record_gets_its_own_best_path() -> None:
    """Also where one anchor is reached twice, once with a fault."""
    expired = mint("ca", ROOT, ca=True, days=(-60, -1), serial=2)
    result = search(LEAF, [expired, CA, ROOT], anchor(ROOT), anchor(expired), anchor(CA))
    paths = [path for _, path in result.paths]
    assert all(path is not None for path in paths)
    assert [path.faults for path in paths if path] == [(), (), ()]
    assert [path.stale_anchor for path in paths if path] == [False, True, False]


def test_a_faulty_path_is_kept_with_its_faults_in_order() -> None:
    """Structure before dates, each once."""
    bad = mint("ca", ROOT, ca=False, days=(-60, -1))
    server = mint("leaf", bad, days=(1, 2))
    path = search(server, [bad, ROOT], anchor(ROOT)).paths[0][1]
    assert path is not None
    assert path.faults == (
        Reason.CHAIN_ISSUER_NOT_CA,
        Reason.CERTIFICATE_EXPIRED,
        Reason.CERTIFICATE_NOT_YET_VALID,
    )
    assert path.structural_faults == (Reason.CHAIN_ISSUER_NOT_CA,)
    assert path.date_faults == path.faults[1:]


def test_dates_that_are_none_make_a_certificate_unreadable() -> None:
    """A path needs them, where DANE-EE(3) does not."""
    certificate = parsed(rebuilt(LEAF, CA.key, replace=(b"261025", b"269925")))
    assert date_faults(certificate, NOW) == (Reason.CERTIFICATE_UNREADABLE,)
    result = find_paths(certificate, [parsed(CA.der)], [anchor(CA)], now=NOW, budget=Budget(9))
    path = result.paths[0][1]
    assert path is not None
    assert path.faults == (Reason.CERTIFICATE_UNREADABLE,)


@pytest.mark.parametrize(
    ("changes", "moment", "reason"),
    [
        ((b"261025", b"269925"), NOW + 61 * DAY, Reason.CERTIFICATE_EXPIRED),
        ((b"270123", b"279923"), NOW - 31 * DAY, Reason.CERTIFICATE_NOT_YET_VALID),
        ((b"270123", b"279923"), NOW, Reason.CERTIFICATE_UNREADABLE),
    ],
)
def test_the_date_that_can_be_read_counts_where_it_says_enough(
    changes: tuple[bytes, bytes], moment: datetime, reason: Reason
) -> None:
    """A broken start date does not hide that a certificate has ended, nor the other way round."""
    certificate = parsed(rebuilt(LEAF, CA.key, replace=changes))
    assert date_faults(certificate, moment) == (reason,)


@pytest.mark.parametrize(
    ("moment", "faults"),
    [
        (NOW - 30 * DAY - timedelta(microseconds=1), (Reason.CERTIFICATE_NOT_YET_VALID,)),
        (NOW - 30 * DAY, ()),
        (NOW + 60 * DAY, ()),
        (NOW + 60 * DAY + timedelta(microseconds=1), (Reason.CERTIFICATE_EXPIRED,)),
    ],
)
def test_both_ends_of_the_validity_period_belong_to_it(
    moment: object, faults: tuple[Reason, ...]
) -> None:
    """RFC 5280 §4.1.2.5: from notBefore through notAfter, inclusive."""
    assert date_faults(parsed(LEAF.der), moment) == faults  # type: ignore[arg-type]


def test_a_malformed_extension_fails_a_path() -> None:
    """It might have forbidden what we assume."""
    broken = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.30"), b"\x05\x00")
    bad = mint("ca", ROOT, ca=True, extensions=[(broken, False)])
    path = search(mint("leaf", bad), [bad], anchor(bad)).paths[0][1]
    assert path is not None
    assert path.faults == (Reason.CERTIFICATE_UNREADABLE,)


@pytest.mark.parametrize(
    ("usages", "faults"),
    [
        (("digital_signature",), ()),
        (("key_encipherment",), ()),
        (("key_agreement",), ()),
        (("key_cert_sign", "crl_sign"), (Reason.CHAIN_KEY_USAGE,)),
        ((), (Reason.CHAIN_KEY_USAGE,)),
    ],
)
def test_the_leaf_key_must_be_one_that_tls_may_use(
    usages: tuple[str, ...], faults: tuple[Reason, ...]
) -> None:
    """RFC 5280 §4.2.1.3: at least one of the three usages a handshake can need."""
    bits = key_usage(*usages)
    path = search(mint("leaf", CA, extensions=[(bits, True)]), [CA], anchor(CA)).paths[0][1]
    assert path is not None
    assert path.faults == faults


def as_version_1(item: Minted, signer: Minted) -> Minted:
    """The certificate without version and extensions, signed anew."""
    body = contents(item.certificate.tbs_certificate_bytes)
    extensions = body[body.index(item.spki) + len(item.spki) :]
    plain = body.removesuffix(extensions).removeprefix(bytes.fromhex("a003020102"))
    data = rebuilt(item, signer.key, replace=(body, plain))
    return Minted(x509.load_der_x509_certificate(data), item.key)


def test_a_version_1_root_may_be_an_anchor_but_no_intermediate() -> None:
    """It has no way to say that it is a CA; OpenSSL takes it as a root, as we do."""
    old_root = as_version_1(ROOT, ROOT)
    path = search(LEAF, [CA, old_root], anchor(old_root)).paths[0][1]
    assert path is not None
    assert path.faults == ()
    old_ca = as_version_1(CA, ROOT)
    path = search(LEAF, [old_ca, ROOT], anchor(ROOT)).paths[0][1]
    assert path is not None
    assert path.faults == (Reason.CHAIN_ISSUER_NOT_CA,)


def test_self_issued_certificates_do_not_count_for_the_path_length() -> None:
    """RFC 5280 §6.1.4 (l): a CA may renew its key without a longer path."""
    short = mint("root", ca=True, path_length=0)
    renewed = mint("root", short, key="root renewed", ca=True)
    server = mint("leaf", renewed)
    result = search(server, [renewed, short], anchor(short))
    assert names_of(result) == ["leaf", "root", "root"]
    assert result.paths[0][1].faults == ()  # type: ignore[union-attr]


def test_self_issued_intermediates_are_exempt_from_name_constraints() -> None:
    """RFC 5280 §6.1.3 (b); the leaf never is."""
    limits = x509.NameConstraints([x509.DNSName("example.com")], None)
    top = mint("root", ca=True, extensions=[(limits, True)])
    renewed = mint("root", top, key="root renewed", ca=True, dns=["outside.test"])
    result = search(mint("leaf", renewed, dns=["a.example.com"]), [renewed, top], anchor(top))
    assert result.paths[0][1].faults == ()  # type: ignore[union-attr]
    result = search(mint("leaf", renewed, dns=["outside.test"]), [renewed, top], anchor(top))
    assert result.paths[0][1].faults == (Reason.CHAIN_NAME_CONSTRAINT,)  # type: ignore[union-attr]


def test_a_leaf_with_the_name_of_its_issuer_is_not_exempt() -> None:
    """Only intermediates are, when a CA renews its own key."""
    limits = x509.NameConstraints([x509.DNSName("example.com")], None)
    top = mint("same", ca=True, extensions=[(limits, True)])
    result = search(mint("same", top, key="leaf", dns=["outside.test"]), [top], anchor(top))
    assert result.paths[0][1].faults == (Reason.CHAIN_NAME_CONSTRAINT,)  # type: ignore[union-attr]


def test_the_common_name_of_an_intermediate_is_no_host_name() -> None:
    """It may look like one and lie outside the constraints on hosts."""
    limits = x509.NameConstraints([x509.DNSName("example.com")], None)
    top = mint("root", ca=True, extensions=[(limits, True)])
    middle = mint("ca.outside.test", top, ca=True)
    result = search(mint("leaf", middle, dns=["a.example.com"]), [middle, top], anchor(top))
    assert result.paths[0][1].faults == ()  # type: ignore[union-attr]


def test_a_good_path_is_found_among_many_faulty_ones_of_the_same_length() -> None:
    """Whichever was seen first."""
    faulty = [mint("ca", ROOT, ca=False, serial=number) for number in range(2, 20)]
    path = search(LEAF, [*faulty, CA, ROOT], anchor(ROOT)).paths[0][1]
    assert path is not None
    assert path.faults == ()


def test_everything_a_bare_key_signed_must_be_in_date() -> None:
    """There is no anchor certificate whose dates could be passed over."""
    expired = mint("ca", ROOT, ca=True, days=(-60, -1))
    bare = anchor(ROOT, selector=1, kind=0)
    path = search(mint("leaf", expired), [expired], bare).paths[0][1]
    assert path is not None
    assert path.faults == (Reason.CERTIFICATE_EXPIRED,)


def test_two_algorithms_in_one_certificate_make_the_signature_invalid() -> None:
    """RFC 5280 §4.1.1.2: inside and outside must be the same."""
    sha384 = bytes.fromhex("300a06082a8648ce3d040303")
    certificate = parsed(rebuilt(LEAF, CA.key, replace=(ECDSA_SHA256, sha384)))
    assert not certificate.algorithms_agree
    result = find_paths(certificate, [parsed(CA.der)], [anchor(CA)], now=NOW, budget=Budget(9))
    assert result.paths[0][1] is None
    assert result.bad_signature
    assert result.unlinked == (anchor(CA),)


def test_issuers_are_found_by_name_whatever_the_string_type() -> None:
    """RFC 5280 §7.1: UTF8String here, PrintableString and capitals there."""
    data = rebuilt(
        LEAF, CA.key, replace=(bytes.fromhex("0c02") + b"ca", bytes.fromhex("1302") + b"CA")
    )
    assert b"\x13\x02CA" in data
    result = find_paths(parsed(data), [parsed(CA.der)], [anchor(CA)], now=NOW, budget=Budget(9))
    assert names_of(result) == ["leaf", "ca"]


def test_a_bare_key_is_tried_only_where_no_issuer_was_presented() -> None:
    """Where one was, the record has matched its key already (RFC 7671 §5.2.3)."""
    bare = anchor(ROOT, selector=1, kind=0)
    budget = Budget(64)
    result = find_paths(parsed(LEAF.der), [parsed(CA.der)], [bare], now=NOW, budget=budget)
    path = result.paths[0][1]
    assert path is not None
    assert names_of(result) == ["leaf", "ca"]
    assert (path.bare_key, path.presented) == (ROOT.spki, False)
    assert budget.spent == 2
    with_root = search(LEAF, [CA, ROOT], bare)
    assert names_of(with_root) == ["leaf", "ca", "root"]
    assert with_root.paths[0][1].bare_key is None  # type: ignore[union-attr]


def test_a_certificate_known_only_from_dns_serves_only_its_own_record() -> None:
    """Each record is judged by itself: the digest alone would not have been enough."""
    whole, digest = anchor(ROOT, kind=0), anchor(ROOT, kind=1)
    result = search(LEAF, [CA], digest, whole)
    assert result.paths[0] == (digest, None)
    path = result.paths[1][1]
    assert path is not None
    assert not path.presented
    assert path.certificates[-1].sha256 == hashlib.sha256(ROOT.der).hexdigest()


def test_only_signatures_the_path_rests_on_can_be_weak() -> None:
    """That of the anchor on itself proves nothing and is not looked at; a bare key's is."""
    old_root = signed_with_sha1(ROOT, ROOT.key)
    path = search(LEAF, [CA, old_root], anchor(old_root)).paths[0][1]
    assert path is not None
    assert not path.has_weak_signature
    old_ca = signed_with_sha1(CA, ROOT.key)
    path = search(LEAF, [old_ca], anchor(ROOT, selector=1, kind=0)).paths[0][1]
    assert path is not None
    assert path.has_weak_signature
    path = search(LEAF, [old_ca], anchor(old_ca)).paths[0][1]
    assert path is not None
    assert not path.has_weak_signature
