"""Run every benchmark and print the pages of ``docs/results.md`` one after another.

python benchmarks/run_all.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPTS = (
    "recall.py",
    "build_speed.py",
    "search_speed.py",
    "sequences.py",
    "matchers.py",
    "online_step.py",
    "sequence_stream.py",
    "observe.py",
    "verification.py",
    "localization.py",
    "posing.py",
    "training_step.py",
    "training.py",
)


def main() -> None:
    """Run the scripts in turn."""
    for script in SCRIPTS:
        print(f"\n## {script}\n", flush=True)
        subprocess.run([sys.executable, str(Path(__file__).parent / script)], check=False)


if __name__ == "__main__":
    main()
