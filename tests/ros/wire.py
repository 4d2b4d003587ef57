"""A DDS participant that is no ROS: prints which topics, of which types, a node has on the wire.

Run by a Python that has cyclonedds: wire.py TOPIC ... prints JSON once all of them are there.
"""

from __future__ import annotations

import json
import os
import sys
import time

from cyclonedds.builtin import (
    BuiltinDataReader,
    BuiltinTopicDcpsPublication,
    BuiltinTopicDcpsSubscription,
)
from cyclonedds.domain import DomainParticipant

LONG = 600.0


def main() -> None:
    """Wait for the topics."""
    wanted = set(sys.argv[1:])
    participant = DomainParticipant(int(os.environ["ROS_DOMAIN_ID"]))
    readers = {
        "publishes": BuiltinDataReader(participant, BuiltinTopicDcpsPublication),
        "subscribes": BuiltinDataReader(participant, BuiltinTopicDcpsSubscription),
    }
    found: dict[str, list[str]] = {}
    end = time.monotonic() + LONG
    while not wanted <= set(found) and time.monotonic() < end:
        for what, reader in readers.items():
            for sample in reader.take(500):
                found[sample.topic_name] = [what, sample.type_name]
        time.sleep(0.2)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
