"""What the queries of several dashboards have in common: selections, joins, bounds, colours."""

from grafana.builder.panels import HERE

DOMAIN = f'{{{HERE}, domain=~"$domain"}}'
MX = f'{{{HERE}, mx=~"$mx"}}'
ZONE = f'{{{HERE}, dns_zone=~"$dns_zone"}}'
ALL = f"{{{HERE}}}"
ON_DOMAIN = "on (job, instance, domain)"
ON_MX = "on (job, instance, mx)"
ON_ZONE = "on (job, instance, dns_zone)"
ROWS = 100
"""Rows of a table of what was chosen; more than one reads."""
CERTIFICATE = "instance_mx:danewatch_mx_certificate_remaining:ratio"
SIGNATURE = "instance_zone:danewatch_zone_signature_remaining:ratio"
SHARE_LEFT = {"red": 0.0, "orange": 0.1, "green": 0.2}
"""Colours of what is left of a lifetime."""
BAD_ABOVE_ZERO = {"green": 0.0, "red": 1.0}
