#!/bin/sh
# Owns: no process outlives the test runner that started it, even when the runner is killed outright.
# Usage: reaper.sh PID   (a negative PID names a process group), with a pipe from the owner as standard input.
# A line on the pipe means the owner has ended the process itself; end of file without one means the owner died.
trap '' INT TERM HUP
if read -r _; then exit 0; fi
kill -s TERM -- "$1" 2>/dev/null || exit 0
n=0
while [ $n -lt 50 ]; do
  kill -s 0 -- "$1" 2>/dev/null || exit 0
  sleep 0.1
  n=$((n + 1))
done
kill -s KILL -- "$1" 2>/dev/null
exit 0
