"""Any benchmark on a disk whose every sync takes 5 ms more: `python -m bench.slow_disk creates --connections 16`.

strace delays each fdatasync of the benchmark and of the servers that it starts, and lets go of the programs that these
start. The log's root page goes out by a write that is synced by itself (O_DSYNC) and is not delayed. To start a process
under strace takes long: bursts say little where the node's process is the one that starts them. `SLOW_DISK_MS` sets
another delay.
"""

import os
import shutil
import sys

from bench.harness import UNDER


def main() -> None:
    """Become strace, with the benchmark under it."""
    if shutil.which("strace") is None:
        sys.exit("bench.slow_disk needs strace")
    name, *arguments = sys.argv[1:]
    delay = int(1000 * float(os.environ.get("SLOW_DISK_MS", "5")))
    tracer = ["strace", "-D", "-f", "-b", "execve", "-qq", "-o", os.devnull]
    tracer += ["-e", "trace=fdatasync,execve", "-e", f"inject=fdatasync:delay_exit={delay}"]
    os.environ[UNDER] = " ".join(tracer)
    os.execvp("strace", [*tracer, sys.executable, "-m", f"bench.{name}", *arguments])


if __name__ == "__main__":
    main()
