"""Prints those servers of servers.json that are asked for (SERVERS, by blanks; default: all) and there, as a list for --targets.

Sfumato's program is SFUMATO's, the cores are SERVER_CORES (by commas). What is left out is told on standard error.
"""

import json
import os
import shutil
import sys
from pathlib import Path

# What each server needs besides what is in this folder: its program, which a variable may name. By the first word of its name.
PROGRAMS = {
    "sfumato": ("SFUMATO", "target/release/sfumato"),
    "janus": ("JANUS", "janus"),
    "pion": ("PION", "target/compare/pion-forwarder"),
}


def main():
    servers = json.loads((Path(__file__).parent / "servers.json").read_text())
    asked = os.environ.get("SERVERS", "").split() or [server["name"] for server in servers]
    if unknown := set(asked) - {server["name"] for server in servers}:
        sys.exit(f"compare: no such server: {', '.join(sorted(unknown))}")
    cores = [int(core) for core in os.environ.get("SERVER_CORES", "0").split(",")]
    chosen = []
    for server in servers:
        name = server["name"]
        if name not in asked:
            continue
        variable, default = PROGRAMS[name.split("-")[0]]
        program = os.environ.get(variable, default)
        if shutil.which(program) is None:
            print(f"compare: without {name}: no {program}", file=sys.stderr)
            continue
        if "server" in server:
            server["server"] = program
        elif server["command"][0] == default:
            server["command"][0] = program
        chosen.append({**server, "cores": cores})
    json.dump(chosen, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
