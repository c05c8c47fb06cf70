#!/bin/sh
# A service that is a shell script: logs a line every few seconds.
#
#     ticker.sh [SECONDS]
#
# A shell runs its traps only between commands. So the pause is a child in the background that the shell waits for:
# `wait` returns at once when the signal comes, `sleep` in the foreground would hold it up.
interval=${1:-5}
pause=

finish() {
    [ -z "$pause" ] || kill "$pause" 2>/dev/null
    echo "$(date +%T) asked to stop after $count ticks: bye"
    exit 0
}

count=0
trap finish TERM INT
echo "$(date +%T) started as pid $$, one line every $interval s"
while :; do
    sleep "$interval" &
    pause=$!
    wait "$pause"
    # 1: no such number of seconds. Over 128: a signal cut the pause short. The first must not become a loop without one.
    [ $? -ne 1 ] || exit 2
    count=$((count + 1))
    echo "$(date +%T) tick $count"
done
