"""Run in a process of its own with aics-witness on its path: its client asks a witness, as told on standard input.

Input: JSON of url, verifier_key, and steps; each step has a note and its proofs by old size. Output: a JSON list with,
for each step, the cosignature lines or the name of the error and its HTTP status.
"""

import base64
import json
import sys

from aics_witness.feeder import FeederError, WitnessClient


def main() -> None:
    told = json.load(sys.stdin)
    answers = []
    for step in told["steps"]:
        proofs = {int(old): [base64.b64decode(text) for text in path] for old, path in step["proofs"].items()}
        with WitnessClient(told["url"], told["verifier_key"], max_attempts=1) as client:
            try:
                lines = client.submit(step["note"], lambda old, _new, known=proofs: known[old])
                answers.append({"lines": lines})
            except FeederError as error:
                answers.append({"error": type(error).__name__, "status": getattr(error, "status", None)})
    json.dump(answers, sys.stdout)


main()
