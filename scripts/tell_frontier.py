"""Tells the frontier that was measured in its page, between the two lines that mark the place.

python scripts/tell_frontier.py     # docs/results/frontier.json -> docs/frontier.md
"""

import json
from pathlib import Path

from discreet.bench import as_frontier_table, in_sentences, rows_of
from discreet.bench.frontier_cells import FrontierCell

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- measured -->", "<!-- measured, end -->"
COMMAND = "discreet bench frontier --units example --keep frontier --out docs/results/frontier.json"


def told() -> str:
    """Return sentences, tables, and what they took."""
    record = json.loads((DOCS / "results" / "frontier.json").read_text())
    cells = [FrontierCell.from_dict(one) for one in record["cells"]]
    rows = rows_of(cells)
    made = {(one.made["hardware"]["cpu"], one.made["commit"][:7]) for one in cells}
    cpus, commits = (", ".join(sorted(set(own))) for own in zip(*made, strict=True))
    have, wanted = len(cells), record["cells_wanted"]
    part = (
        f" So far {have} of {wanted} cells are measured; the others follow."
        if have < wanted
        else ""
    )
    hours = sum(one.took for one in cells) / 3600
    says = "\n".join(f"- {line}" for line in in_sentences(rows))
    return (
        f"```bash\n{COMMAND}\n```\n\n"
        f"{hours:.1f} hours of computing on two cores ({cpus}), by the code at {commits}.{part}\n\n"
        f"{says}\n\n{as_frontier_table(rows)}"
    )


if __name__ == "__main__":
    path = DOCS / "frontier.md"
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n\n{told()}\n\n{END}{after}")
