"""Prints medians and ratios of this library to its peers from files of JSON lines.

usage: ratios.py [--cpu] FILE...    --cpu: processor seconds a thread instead of wall seconds, for
machines that are not quiet
"""

import collections
import json
import statistics
import sys

OURS, PYTORCH = "this-library-cpu-float32", "pytorch-eager-float32"


def main():
    files = [name for name in sys.argv[1:] if name != "--cpu"]
    by_cpu = "--cpu" in sys.argv
    times, peaks = collections.defaultdict(dict), {}
    for line in (json.loads(text) for name in files for text in open(name)):
        if "seconds" not in line or not line["system"].endswith("float32"):
            continue
        seconds = line["seconds"]
        if by_cpu:
            mean = statistics.fmean(seconds)
            seconds = [mean * line["cpu_per_wall"] / line["threads"]]
        times[line["measure"]].setdefault(line["system"], []).extend(seconds)
        peaks[line["measure"], line["system"]] = line["peak_rss_mib"]
    print("| measure | ours, s | ours, MiB | PyTorch, s | ours / PyTorch | best float32 peer, s |"
          " ours / best |\n|---|---|---|---|---|---|---|")
    for measure, systems in times.items():
        middle = {system: statistics.median(values) for system, values in systems.items()}
        ours = middle.pop(OURS, None)
        if ours is None or not middle:
            continue
        best = min(middle, key=middle.get)
        pytorch = middle.get(PYTORCH)
        first = f"{pytorch:.3g} | {ours / pytorch:.2f}" if pytorch else "- | -"
        print(f"| {measure} | {ours:.3g} | {peaks[measure, OURS]} | {first} |"
              f" {middle[best]:.3g} ({best.removesuffix('-float32')}) | {ours / middle[best]:.2f} |")


if __name__ == "__main__":
    main()
