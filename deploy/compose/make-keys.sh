#!/bin/sh
# Before anything else runs: the hub's keys, the NATS configuration that trusts them, credentials for every agent.
set -eu
yardarm() { python -m hub "$@"; }
yardarm keys nats --state /var/lib/yardarm --listen 0.0.0.0:4222 --monitor 0.0.0.0:8222 \
    --store /var/lib/yardarm-nats/jetstream --out /var/lib/yardarm-nats/nats.conf
for cluster in dev-eu-1 dev-us-1 stage-eu-1 stage-us-1 prod-eu-1 prod-us-1; do
    yardarm keys agent "$cluster" --state /var/lib/yardarm --out "/var/lib/yardarm-creds/$cluster.creds"
done
