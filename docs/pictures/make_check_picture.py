"""Draw docs/pictures/check.svg: the real output of ``danewatch check`` for a lab domain.

    .venv/bin/python docs/pictures/make_check_picture.py

The lab's partner with a renewed certificate and a forgotten TLSA record is checked over real
sockets and the page is kept as the terminal would show it.
"""

import io
from pathlib import Path

import trio
from rich.console import Console
from rich.terminal_theme import TerminalTheme

from scanner.cli.render import WIDTH, Style
from scanner.cli.render_check import print_check
from scanner.cli.wiring import Settings, open_scanner
from scanner.judge.dnssec.anchors import read_anchors
from scanner.lab.catalogue import demo_plan
from scanner.lab.lab import open_lab
from scanner.model.names import Name
from scanner.model.policy import Policy
from scanner.model.verdict import Check
from scanner.observe.dnsserver import ServerAddress
from scanner.run.clock import SystemClock

DOMAIN = Name("notary.test")
PICTURE = Path(__file__).parent / "check.svg"
THEME = TerminalTheme(
    (13, 17, 23),
    (215, 221, 228),
    [
        (13, 17, 23),
        (248, 113, 105),
        (87, 190, 107),
        (226, 176, 75),
        (98, 160, 234),
        (190, 140, 240),
        (86, 190, 190),
        (215, 221, 228),
    ],
)


async def check_partner() -> Check:
    async with open_lab(demo_plan(SystemClock().now().replace(microsecond=0))) as lab:
        address, port = lab.resolver
        settings = Settings(
            resolvers=(ServerAddress(host=address, port=port),),
            smtp_port=lab.smtp_port,
            allow_private_addresses=True,
            anchors=read_anchors(lab.trust_anchor),
        )
        async with open_scanner(settings) as scanner:
            return await scanner.check(DOMAIN)


def draw(check: Check) -> str:
    console = Console(
        record=True, width=WIDTH, force_terminal=True, color_system="truecolor", file=io.StringIO()
    )
    policy = Policy()
    print_check(console, check, profile=policy.profile, queue_life=policy.queue_life, style=Style())
    svg = console.export_svg(
        title=f"danewatch check {DOMAIN}", theme=THEME, unique_id="check", font_aspect_ratio=0.6
    )
    # No font from elsewhere: a picture of a security tool loads nothing.
    start, end = svg.index("@font-face"), svg.rindex("@font-face")
    end = svg.index("}", end) + 1
    return svg[:start] + svg[end:].replace("Fira Code", "DejaVu Sans Mono")


if __name__ == "__main__":
    PICTURE.write_text(draw(trio.run(check_partner)))
