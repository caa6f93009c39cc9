"""Writes the tables of ``docs/configuration.md``: ``python -m scanner.config [PATH]``.

What stands between the two markers is replaced; a test holds that it is what this module writes.
"""

import sys
from pathlib import Path

from scanner.config.reference import reference

DEFAULT_PATH = Path("docs/configuration.md")
BEGIN = "<!-- reference begins -->\n"
END = "<!-- reference ends -->"


def main(path: Path) -> None:
    """Replace the tables in the page at ``path``."""
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n{reference()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_PATH)
