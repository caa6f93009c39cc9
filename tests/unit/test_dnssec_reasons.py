"""Every DNSSEC reason has an entry that says what it means and what to do."""

import pytest

from scanner.model.dnssec_reasons import DnssecReason
from scanner.model.registry_dnssec import DNSSEC_REASONS, dnssec_info
from scanner.model.vocabulary import DnssecStatus


def test_the_registry_is_complete_and_in_order() -> None:
    """One entry for each member."""
    assert list(DNSSEC_REASONS) == list(DnssecReason)


@pytest.mark.parametrize("reason", DnssecReason)
def test_an_entry_is_made_of_sentences(reason: DnssecReason) -> None:
    """And no fault leads to "secure"."""
    entry = dnssec_info(reason)
    assert entry.sentence.endswith(".")
    assert entry.remedy.endswith(".")
    assert entry.state is not DnssecStatus.SECURE
    assert entry.ede is None or 0 <= entry.ede <= 30
