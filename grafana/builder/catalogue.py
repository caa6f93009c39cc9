"""All groups of rules, in the order of the files and pages made of them."""

from grafana.builder.alerts_mail import MAIL
from grafana.builder.alerts_protection import ENDINGS, PROTECTION
from grafana.builder.alerts_scanner import KEEPING, PACE, SIGHT
from grafana.builder.recordings import RECORDING_GROUPS
from grafana.builder.rules import Alert, Recording

ALERT_GROUPS = (MAIL, PROTECTION, ENDINGS, SIGHT, PACE, KEEPING)
ALERTS = tuple(rule for group in ALERT_GROUPS for rule in group.rules if isinstance(rule, Alert))
RECORDINGS = tuple(
    rule for group in RECORDING_GROUPS for rule in group.rules if isinstance(rule, Recording)
)
