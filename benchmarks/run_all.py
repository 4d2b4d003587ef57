"""Run every benchmark and print what the pages of ``docs/results/`` are made of.

python benchmarks/run_all.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
EVALUATIONS = ("recall.yaml", "sequences.yaml", "localization.yaml", "tower.yaml", "trust.yaml")
SCRIPTS = (
    "build_speed.py",
    "search_speed.py",
    "scale.py",
    "matchers.py",
    "sequence_stream.py",
    "observe.py",
    "serve.py",
    "robot_input.py",
    "trust.py",
    "verification.py",
    "posing.py",
    "training_step.py",
    "training.py",
)


def main() -> None:
    """Write the sets, evaluate the systems, and run the scripts in turn."""
    subprocess.run([sys.executable, str(HERE / "prepare.py")], check=True)
    for name in EVALUATIONS:
        print(f"\n## {name}\n", flush=True)
        command = [sys.executable, "-m", "placememory", "evaluate", str(HERE / name)]
        subprocess.run(command, check=False)
    for script in SCRIPTS:
        print(f"\n## {script}\n", flush=True)
        subprocess.run([sys.executable, str(HERE / script)], check=False)


if __name__ == "__main__":
    main()
