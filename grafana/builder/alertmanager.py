"""An example for Alertmanager: who is told what, and which alert silences which.

The rules already raise one alert for one fault. Inhibition is the second line: between alerts whose
rules know nothing of each other, and for the minutes in which they overtake each other.
"""

from typing import Any

from grafana.builder.rules import Scope

HEADER = """\
# An example: put your own receivers in. Made by grafana/builder; Alertmanager 0.25 or newer.
# Check with: amtool check-config alertmanager.example.yml
"""
PLACE = ["job", "instance"]
_ABOUT_PARTNERS = f'scope=~"{Scope.ZONE}|{Scope.MX}|{Scope.DOMAIN}|{Scope.QUEUE}"'
_OWN_FAULT = 'alertname=~"DanewatchBlind|DanewatchMassLossSuspected|DanewatchClockWrong"'
_EVERYTHING_NAMED = ["alertname", *PLACE, "dns_zone", "mx", "domain", "family", "resolver"]


def inhibition() -> list[dict[str, Any]]:
    """Return the inhibition rules. A label that both sides lack counts as equal."""
    return [
        # Whoever cannot see says nothing about others.
        _rule([_OWN_FAULT], [_ABOUT_PARTNERS], PLACE),
        # What a bogus zone breaks is not told once more for its hosts and domains.
        _rule(
            ['alertname="DanewatchZoneBogus"', 'severity="critical"'],
            [f'scope=~"{Scope.MX}|{Scope.DOMAIN}"'],
            [*PLACE, "dns_zone"],
        ),
        # A host that blocks mail says more than what else is wrong with it.
        _rule(
            ['alertname="DanewatchMxBlocked"'],
            [f'scope=~"{Scope.MX}|{Scope.DOMAIN}"', 'severity=~"warning|info"'],
            [*PLACE, "mx"],
        ),
        # Mail that bounces already does not bounce soon.
        _rule(
            ['alertname="DanewatchBouncing"'],
            ['alertname="DanewatchBouncesSoon"'],
            [*PLACE, "dns_zone", "mx", "domain"],
        ),
        # The worse of two bands of one alert is enough.
        _rule(['severity="critical"'], ['severity=~"warning|info"'], _EVERYTHING_NAMED),
        _rule(['severity="warning"'], ['severity="info"'], _EVERYTHING_NAMED),
    ]


def example() -> dict[str, Any]:
    """Return the whole example configuration."""
    return {
        "route": {
            "receiver": "mail-team",
            # One message for all domains of an alert, not one for each.
            "group_by": ["alertname", "severity"],
            "group_wait": "1m",
            "group_interval": "10m",
            "repeat_interval": "12h",
            "routes": [
                {
                    "matchers": [f'scope="{Scope.SCANNER}"', 'severity="critical"'],
                    "receiver": "danewatch-operators",
                    "group_wait": "10s",
                    "repeat_interval": "2h",
                },
                {"matchers": [f'scope="{Scope.SCANNER}"'], "receiver": "danewatch-operators"},
                {
                    "matchers": ['severity="critical"'],
                    "receiver": "mail-team-now",
                    "repeat_interval": "4h",
                },
                {
                    "matchers": ['severity="info"'],
                    "receiver": "mail-team",
                    "group_interval": "1d",
                    "repeat_interval": "4d",
                },
            ],
        },
        "receivers": [
            _receiver("mail-team", "http://127.0.0.1:8080/mail-team"),
            _receiver("mail-team-now", "http://127.0.0.1:8080/mail-team-now"),
            _receiver("danewatch-operators", "http://127.0.0.1:8080/danewatch-operators"),
        ],
        "inhibit_rules": inhibition(),
    }


def _receiver(name: str, url: str) -> dict[str, Any]:
    # A webhook, because mail about broken mail may not arrive.
    return {"name": name, "webhook_configs": [{"url": url}]}


def _rule(source: list[str], target: list[str], equal: list[str]) -> dict[str, Any]:
    return {"source_matchers": source, "target_matchers": target, "equal": equal}
