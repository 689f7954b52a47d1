#!/usr/bin/env python3
"""Runs the cases of Autobahn|Testsuite's fuzzing client against a server by kosoku, and judges strictly.

usage: judge.py URL REPORT_FOLDER [CATEGORY…]

Exits 0 if every case of these categories (of all, if none is named) has been run and is OK or INFORMATIONAL, in what
it exchanged and in how it closed; NON-STRICT and UNIMPLEMENTED are not enough.  Nor is it enough to agree on
compression and to compress nothing.  The last line is 'N passed, N failed'; a missing case counts as failed.
"""
import asyncio
import collections
import os
import sys

from kosoku import FailureError, run_fuzzingclient
from kosoku._caseindex import initialize_shims
from kosoku._report import write_reports

# What the suite consists of. Whatever a release of kosoku leaves out is noticed.
CASES = {1: 16, 2: 11, 3: 7, 4: 10, 5: 20, 6: 145, 7: 37, 9: 54, 10: 1, 12: 90, 13: 126}
FINE = {"OK", "INFORMATIONAL"}
# JSON of 256 octets and more, to a client with the largest window.
COMPRESSIBLE = {f"12.1.{n}" for n in range(3, 19)}
# At once: some cases only wait whether something comes, and those that compress much use two cores.
PARALLELISM = 4


def hear_uncompressed_echoes():
    """Lets a server send a message uncompressed on a connection where compression is agreed (RFC 7692 §6).

    kosoku 0.1.0 hands such messages to the compression cases as text, where they expect the octets.
    """
    initialize_shims()
    import case12_x_x

    for case in case12_x_x.Case12_X_X + case12_x_x.Case13_X_X:
        judge = case.onMessage

        def on_message(self, message, binary, judge=judge):
            if isinstance(message, str):
                message = message.encode("latin-1" if binary else "utf-8")
            return judge(self, message, binary)

        case.onMessage = on_message


def came_uncompressed(case):
    came = case.traffic_stats and case.traffic_stats.__json__()
    return case.case_id in COMPRESSIBLE and came and came["incomingCompressionRatio"] > 0.9


async def run(url, categories):
    patterns = [f"{category}.*" for category in categories]
    try:
        return await run_fuzzingclient(url, patterns, concurrency=PARALLELISM)
    except FailureError as failure:
        print(failure)
        return failure.results


def main():
    url, folder = sys.argv[1:3]
    categories = [int(category) for category in sys.argv[3:]] or list(CASES)
    hear_uncompressed_echoes()
    results = asyncio.run(run(url, categories))
    write_reports(results, folder)

    failed = 0
    verdicts = collections.Counter()
    for case in results:
        behavior, close = case.behavior.value, case.behavior_close.value
        verdicts[behavior] += 1
        verdicts[f"close {close}"] += 1
        if not {behavior, close} <= FINE:
            failed += 1
            print(f"{case.case_id}: {behavior}, close {close} ({case.remote_close_code}), {case.duration} ms:"
                  f" {case.result} {case.result_close}")
        elif came_uncompressed(case):
            failed += 1
            print(f"{case.case_id}: the echoes came uncompressed")
    ran = collections.Counter(int(case_id.split(".")[0]) for case_id in {case.case_id for case in results})
    missing = sum(CASES[category] - ran[category] for category in categories if ran[category] < CASES[category])
    if missing:
        print(f"{missing} cases were not run: {dict(ran)} instead of {({c: CASES[c] for c in categories})}")
    print(f"{len(results)} cases: {', '.join(f'{name}={count}' for name, count in sorted(verdicts.items()))}")
    print(f"{len(results) - failed} passed, {failed + missing} failed")
    return 1 if failed or missing else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # kosoku 0.1.0 sometimes aborts when the interpreter takes itself down.
    os._exit(code)
