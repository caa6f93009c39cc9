"""Plans are complete, consistent and repeatable; named faults do what they say to plans."""

from datetime import UTC, datetime

import pytest

from scanner.lab.builder import Builder
from scanner.lab.catalogue import ALL_SCENARIOS, demo_plan, label_of, scenario_plan
from scanner.lab.faults import NamedFault, break_domain
from scanner.lab.generate import OPERATORS, generate
from scanner.lab.plan import DnsFault, LabPlan, MailFault, MailHostPlan, RecordFault, ZonePlan
from scanner.model.names import ROOT, Name
from scanner.model.vocabulary import DomainVerdict, Profile

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def plans() -> dict[str, LabPlan]:
    """Return one plan of every sort."""
    return {
        "scenarios": scenario_plan(NOW),
        "demo": demo_plan(NOW),
        "generated": generate(NOW, 300, seed=7, fault_share=0.3),
    }


@pytest.fixture(scope="module", params=["scenarios", "demo", "generated"])
def plan(request: pytest.FixtureRequest) -> LabPlan:
    """Each sort of plan in turn."""
    return plans()[request.param]


def test_every_scenario_of_the_table_is_there() -> None:
    """T01 to T48, in order, before the edge cases."""
    labels = [label_of(scenario) for scenario in ALL_SCENARIOS]
    assert labels[:48] == [f"T{number:02d}" for number in range(1, 49)]
    assert len(set(labels)) == len(labels)


def test_scenarios_can_be_chosen_by_label() -> None:
    """A plan of a few scenarios holds their domains only."""
    chosen = scenario_plan(NOW, ["t12", "T05"])
    assert [domain.name for domain in chosen.domains] == ["t12.test", "t05.test", "t05-nx.test"]
    with pytest.raises(KeyError):
        scenario_plan(NOW, ["T99"])


def test_domains_are_planned_once(plan: LabPlan) -> None:
    """No two domains share a name."""
    names = [domain.name for domain in plan.domains]
    assert len(set(names)) == len(names)


def test_everything_a_plan_refers_to_exists(plan: LabPlan) -> None:
    """Zones of domains, hosts and faults, and addresses of hosts and faults."""
    zones = {zone.origin for zone in plan.zones}
    addresses = {host.address for host in plan.mail_hosts}
    for domain in plan.domains:
        assert domain.zone in zones
        for host in domain.hosts:
            assert host.zone in zones
            assert set(host.addresses) <= addresses
        for fault in domain.faults:
            assert isinstance(fault, DnsFault)
            assert fault.zone in zones


def test_records_lie_inside_their_zone(plan: LabPlan) -> None:
    """No record has an owner outside its zone."""
    for zone in plan.zones:
        for record in zone.records:
            inside = record.owner == zone.origin or record.owner.endswith(f".{zone.origin}")
            assert inside or zone.origin == ROOT


def test_mail_hosts_are_loopback_only(plan: LabPlan) -> None:
    """The lab never leaves the machine."""
    assert all(host.address.startswith("127.") for host in plan.mail_hosts)


def test_blocked_and_deferred_domains_carry_a_code(plan: LabPlan) -> None:
    """Where mail is stopped by DNS or DANE the expected code is written down."""
    stopped = (DomainVerdict.BLOCKED, DomainVerdict.DEFERRED)
    without = {
        domain.label
        for domain in plan.domains
        if domain.exchange_online in stopped and domain.code is None
    }
    # Hosts that are down show the peer's own words or a time-out, which no table pins.
    assert without <= {"CASE81", "CASE86", "CASE91"}


def test_the_verdicts_are_given_by_profile() -> None:
    """A domain's expectation is a verdict for each profile."""
    domain = next(item for item in scenario_plan(NOW, ["T39"]).domains)
    assert domain.expected == {
        Profile.RFC7672: DomainVerdict.PROTECTED,
        Profile.EXCHANGE_ONLINE: DomainVerdict.BLOCKED,
    }


def test_generated_plans_repeat_by_seed() -> None:
    """The same seed gives the same domains, faults and expectations; another one does not."""

    def shape(seed: int) -> list[object]:
        made = generate(NOW, 200, seed=seed, fault_share=0.2)
        return [(item.name, item.hosts, item.faults, item.expected) for item in made.domains]

    assert shape(3) == shape(3)
    assert shape(3) != shape(4)


def test_generated_plans_mix_as_promised() -> None:
    """About 60 % of the domains share operators, and every sort of verdict occurs."""
    made = generate(NOW, 2000, seed=1, fault_share=0.2)
    shared = [item for item in made.domains if "operator" in item.hosts[0].host]
    assert 0.55 < len(shared) / len(made.domains) < 0.65
    assert len({item.hosts[0].zone for item in shared}) > OPERATORS / 2
    found = {item.exchange_online for item in made.domains}
    assert found == {
        DomainVerdict.PROTECTED,
        DomainVerdict.OPPORTUNISTIC,
        DomainVerdict.BLOCKED,
        DomainVerdict.DEFERRED,
    }


def test_no_fault_share_means_no_fault() -> None:
    """With a share of 0 every domain's mail is delivered."""
    made = generate(NOW, 300, seed=1, fault_share=0.0)
    assert not any(item.faults for item in made.domains)
    assert {item.exchange_online for item in made.domains} == {
        DomainVerdict.PROTECTED,
        DomainVerdict.OPPORTUNISTIC,
    }


@pytest.mark.parametrize("name", list(NamedFault))
def test_named_faults_touch_the_domain_only(name: NamedFault) -> None:
    """Every named fault breaks something of the domain, and nothing of others."""
    plan = demo_plan(NOW)
    bank = next(item for item in plan.domains if item.name == "bank.test")
    effect = break_domain(plan, bank, name)
    addresses = {address for host in bank.hosts for address in host.addresses}
    assert effect.faults
    for fault in effect.faults:
        match fault:
            case MailFault():
                assert fault.address in addresses
            case DnsFault() | RecordFault():
                assert fault.zone == bank.zone


def test_an_expired_certificate_keeps_its_key() -> None:
    """The named fault differs from a replaced certificate: the TLSA record still matches."""
    plan = demo_plan(NOW)
    bank = next(item for item in plan.domains if item.name == "bank.test")
    planned = {host.address: host.chain for host in plan.mail_hosts}
    for name, same in (
        (NamedFault.CERTIFICATE_EXPIRED, True),
        (NamedFault.CERTIFICATE_REPLACED, False),
    ):
        for fault in break_domain(plan, bank, name).faults:
            assert isinstance(fault, MailFault)
            before, after = planned[fault.address], fault.chain
            assert before is not None
            assert after is not None
            kept = before.key.public_key() == after.leaf.public_key()
            assert kept is same


def test_a_plan_needs_a_root_and_no_doubles() -> None:
    """What cannot be served is refused when it is written."""
    root = ZonePlan(origin=ROOT)
    host = MailHostPlan(address="127.1.0.1", hostname=Name("mx.test"))
    with pytest.raises(ValueError, match="root"):
        LabPlan(now=NOW, zones=(ZonePlan(origin=Name("test")),))
    with pytest.raises(ValueError, match="zone"):
        LabPlan(now=NOW, zones=(root, root))
    with pytest.raises(ValueError, match="address"):
        LabPlan(now=NOW, zones=(root,), mail_hosts=(host, host))


def test_addresses_skip_network_and_broadcast_octets() -> None:
    """Many hosts get many addresses, none of which ends in 0 or 255."""
    builder = Builder(NOW)
    taken = [builder.mail_host(Name("mx.test"), None) for _ in range(600)]
    assert len(set(taken)) == 600
    assert not {address.rsplit(".", 1)[1] for address in taken} & {"0", "255"}
