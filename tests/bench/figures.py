"""How `make bench` prints: figures, and ratios with the aim beside them."""

import math
import statistics


def ratio(what, value, unit, aim, reached):
    note = f"   (aim: {aim}: {'reached' if reached else 'NOT reached'})" if aim else ""
    print(f"  {what}: {value:.2f} {unit}{note}", flush=True)


def percentile(samples, percent):
    """The nearest rank: of 300 samples, the third largest is the 99th percentile."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def median_and_p99(samples):
    return statistics.median(samples), percentile(samples, 99)


def table(heads, rows):
    """Left-aligned first column, the others right-aligned."""
    cells = [[str(c) for c in row] for row in [heads, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
    for row in cells:
        print("  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))), flush=True)
