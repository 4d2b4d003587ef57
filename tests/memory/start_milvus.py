"""Start the standalone Milvus server of the PyPI package ``milvus`` and wait.

Run by the Python of the environment that holds that package (see ``make milvus``), inside network
and process namespaces of its own, because the server binds all interfaces, and outlives its parent.

    unshare -rn --pid --fork --kill-child --mount-proc \
      bash -c "ip link set lo up; exec python start_milvus.py DATA_DIR PORT"

It writes the number of the server's process to ``DATA_DIR/pid``, then makes ``DATA_DIR/ready``.
"""

import signal
import sys
from pathlib import Path

from milvus import MilvusServer, MilvusServerConfig

folder, port = Path(sys.argv[1]), int(sys.argv[2])
server = MilvusServer(MilvusServerConfig(data_dir=str(folder), proxy_port=port))
server.config.set("proxy.ip", "127.0.0.1")
server.start()
(folder / "pid").write_text(str(server.server_proc.pid))
(folder / "ready").touch()
signal.sigwait({signal.SIGTERM, signal.SIGINT})
server.stop()
