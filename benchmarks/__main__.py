"""Runs them all, or those that are named: ``python -m benchmarks [NAME…]``."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import copies, many, signed, single
from benchmarks.report import Report
from benchmarks.work import workplace

PAGE = Path(__file__).parents[1] / "docs/benchmarks.md"
ALL = {
    "start": single.start_up,
    "one": single.one_promotion,
    "rounds": single.requests_and_rounds,
    "many": many.two_hundred_images,
    "hundred": many.a_hundred_images_at_a_distance,
    "tags": many.many_tags,
    "fifty": many.very_many_tags,
    "thousands": many.thousands_of_images,
    "verify": many.verify_many_versions,
    "signed": signed.signed_records,
    "large": copies.one_large_image,
    "tls": copies.one_large_image_over_tls,
    "twenty": copies.twenty_images,
    "far": copies.side_by_side,
}


def main(names: list[str]) -> None:
    """The page is written only where everything ran."""
    report = Report()
    with workplace() as place:
        for name in names or ALL:
            ALL[name](place, report)
    if not names:
        report.write(PAGE)


if __name__ == "__main__":
    main(sys.argv[1:])
