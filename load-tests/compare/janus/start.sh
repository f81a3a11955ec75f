#!/bin/sh
# Becomes Janus, with the bridge from WHIP and WHEP to its API as a child: `start.sh EVENT_LOOPS PORT`. The bridge listens on
# PORT, Janus' API on the next one.
# This process is the server, so that what starts it measures Janus alone. The bridge ends when Janus does, and removes the folder
# that Janus has its configuration in.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
api=$(($2 + 1))
cp "$here"/*.jcfg "$folder"
sed -i "s/event_loops = .*/event_loops = $1/" "$folder/janus.jcfg"
sed -i "s/port = .*/port = $api/" "$folder/janus.transport.http.jcfg"
python3 "$here/../janus_bridge.py" --port "$2" --janus "http://127.0.0.1:$api/janus" --remove "$folder" &
exec "${JANUS:-janus}" --configs-folder="$folder"
