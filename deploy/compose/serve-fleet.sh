#!/bin/sh
# Serves /srv/git/fleet.git over git://, for reading and pushing; made from the sample when it is not there yet.
# Nothing is authenticated: compose.yaml publishes the port on loopback only.
set -eu
if [ ! -d /srv/git/fleet.git ]; then
    python -m hub sample /tmp/sample --clusters 6
    git clone --quiet --bare /tmp/sample /srv/git/fleet.git
fi
exec git daemon --reuseaddr --export-all --enable=receive-pack --base-path=/srv/git /srv/git
