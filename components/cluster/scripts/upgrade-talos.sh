# shellcheck shell=sh disable=SC2034,SC2154
# Brings one node to VERSION with IMAGE. Can be interrupted and run again: a node that is there already is left alone.
now=$(running_version "$NODE")
[ -n "$now" ] || { say "$NODE_NAME ($NODE) does not say which Talos it runs"; exit 1; }
schematic_of() { talos "$1" get extensions -o yaml | grep -c "$(echo "$IMAGE" | sed 's#.*/\([^:]*\):.*#\1#')" || true; }

if [ "$now" = "$VERSION" ] && [ "$(schematic_of "$NODE")" -gt 0 ]; then
    echo "$NODE_NAME runs Talos $VERSION already"
    exit 0
fi
if ! adjacent "$now" "$VERSION"; then
    say "$NODE_NAME runs Talos $now: $VERSION is not the next minor version; raise talosVersion one minor at a time"
    exit 1
fi
wait_for 300 "etcd to be healthy before $NODE_NAME is upgraded" etcd_is_whole
wait_for 300 "node $NODE_NAME to be Ready before its upgrade" node_is_ready "$NODE_NAME"
say "upgrading $NODE_NAME from Talos $now to $VERSION"
talos "$NODE" upgrade --image "$IMAGE" --wait --timeout 20m >&2
on_version() { [ "$(running_version "$NODE")" = "$VERSION" ]; }
wait_for 600 "$NODE_NAME to answer with Talos $VERSION" on_version
wait_for 600 "etcd to be healthy after $NODE_NAME was upgraded" etcd_is_whole
wait_for 600 "node $NODE_NAME to be Ready after its upgrade" node_is_ready "$NODE_NAME"
echo "$NODE_NAME runs Talos $VERSION"
