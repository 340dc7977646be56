#!/bin/bash
# adtally-probe PORT PATH: succeeds when GET PATH on this container answers 200.
# bash alone, so that the image carries no HTTP client.
set -euo pipefail
exec 3<>"/dev/tcp/127.0.0.1/$1"
printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3
read -r -t 3 _version status _reason <&3
[ "$status" = 200 ]
