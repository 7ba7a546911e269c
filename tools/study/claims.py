"""The claims of the papers beside what was measured, as tables of docs/claims.md."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lunet_networks.bundle.runtime.checks import choose
from tools import ROOT
from tools.study.evidence import KINDS, Answer
from tools.study.records import Record

CLAIMS = ROOT / "tools" / "study" / "claims.yaml"
PAPERS = {
    "lean_unet": "Lean U-Net ([arXiv 2512.03834](https://arxiv.org/abs/2512.03834))",
    "stamp": "STAMP (Dinsdale et al., Medical Image Analysis 2022)",
    "psp_seg": "PSP-Seg ([arXiv 2509.09267](https://arxiv.org/abs/2509.09267))",
    "lv_unet": "LV-UNet ([arXiv 2408.16886](https://arxiv.org/abs/2408.16886))",
    "lmsc_unet": "LMSC-UNet (Sawant et al., ICAART 2025)",
}
WORDS = {True: "yes", False: "no", None: "not answered"}


@dataclass(frozen=True)
class Claim:
    """A claim of a paper.

    Args:
        paper: one of ``PAPERS``.
        where: in the paper.
        claim: what it says.
        evidence: how it is answered: ``kind``, one of ``tools.study.evidence.KINDS``, and what that takes.
        undecided: why what is measured does not decide; None: it does.
    """

    paper: str
    where: str
    claim: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    undecided: str | None = None

    def answer(self, records: Sequence[Record]) -> Answer:
        """What the records, the networks and their costs say."""
        given = dict(self.evidence)
        found = KINDS[given.pop("kind")](records, **given)
        return Answer(found.measured, None, self.undecided) if self.undecided and found.measured else found


def read_claims(path: Path = CLAIMS) -> list[Claim]:
    """The claims of a file.

    Raises:
        ValueError: if one is wrong; the message names it.
    """
    claims = []
    for number, line in enumerate(yaml.safe_load(path.read_text(encoding="utf-8")), start=1):
        try:
            claim = Claim(**line)
            choose("paper", claim.paper, PAPERS)
            choose("kind", claim.evidence.get("kind"), KINDS)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}, claim {number}, {line}: {error}") from error
        claims.append(claim)
    return claims


def claims_table(claims: Sequence[Claim], records: Sequence[Record]) -> str:
    """A table for every paper, behind a count of the answers."""
    answers = [(claim, claim.answer(records)) for claim in claims]
    number = Counter(WORDS[answer.holds] for _, answer in answers)
    parts = [f"Of {len(claims)} claims: {', '.join(f'{number[word]} {word}' for word in WORDS.values())}."]
    for paper, title in PAPERS.items():
        rows = [_row(claim, answer) for claim, answer in answers if claim.paper == paper]
        parts += [f"## {title}", "\n".join(["| claim | where | measured | answer |", "|---|---|---|---|", *rows])]
    return "\n\n".join(parts)


def _row(claim: Claim, answer: Answer) -> str:
    word = WORDS[answer.holds]
    told = f"{word}: {answer.why}" if answer.why else word
    return f"| {claim.claim} | {claim.where} | {answer.measured or '-'} | {told} |"
