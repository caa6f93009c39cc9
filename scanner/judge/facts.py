"""What was read at one MX host, whatever the profile: records with their fate, certificates."""

from scanner.judge.certificate import read_certificate
from scanner.judge.examination import Examination
from scanner.judge.tlsa import expected_records
from scanner.model.observation import HostObservation
from scanner.model.verdict import AddressFacts, CertificateFacts, HostFacts, TlsaJudgement

MAX_CERTIFICATES_SHOWN = 32
"""Certificates of one chain that are described; a larger chain is a finding."""


def host_facts(host: HostObservation, examined: Examination) -> HostFacts:
    """Return the records and certificates of ``host``.

    Each distinct record stands once, in the order received. ``matched`` is None for a record that
    was not compared: an unusable one, or where no certificate was seen. A match with the
    certificate of either algorithm counts.
    """
    compared = any(probe.any_record is not None for probe in examined.probes)
    matched = {record for probe in examined.probes for record in probe.matching_records()}
    leaf = next((probe.probe.chain[0] for probe in examined.probes if probe.probe.chain), None)
    usable = set(examined.tlsa.usable)
    return HostFacts(
        host=host.route.host,
        tlsa=tuple(
            TlsaJudgement(
                record=item.record,
                usable=item.unusable_reason is None,
                unusable_reason=item.unusable_reason,
                matched=item.record in matched if compared and item.record in usable else None,
            )
            for item in examined.tlsa.records
        ),
        addresses=tuple(
            AddressFacts(
                address=probe.probe.address,
                chain=_chain(probe.probe.chain),
                other_chain=_chain(probe.probe.other_chain),
            )
            for probe in examined.probes
        ),
        expected_records=() if leaf is None else expected_records(leaf),
    )


def _chain(chain: tuple[bytes, ...]) -> tuple[CertificateFacts, ...]:
    return tuple(read_certificate(item) for item in chain[:MAX_CERTIFICATES_SHOWN])
