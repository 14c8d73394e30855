# shellcheck shell=sh disable=SC2034,SC2154
# Upgrades one node to VERSION with IMAGE. Can be interrupted and run again: a node on that version is left unchanged, but
# the cordon of an interrupted run is removed. The script drains the node itself: talosctl would drain after the
# installation, time out after five minutes, and leave the node cordoned, with a version that the next reboot activates.
MARK=homelab.dev/cordoned-by-upgrade
schematic_of() { talos "$1" get extensions -o yaml | grep -c "$(echo "$IMAGE" | sed 's#.*/\([^:]*\):.*#\1#')" || true; }
field() { kube get node "$NODE_NAME" -o "jsonpath={$1}"; }
uncordon() {
    [ -n "$(field ".metadata.annotations.$(echo $MARK | sed 's/\./\\./g')")" ] || return 0 # cordoned by the operator, or not cordoned
    say "uncordoning $NODE_NAME"
    kube uncordon "$NODE_NAME" >&2
    kube annotate node "$NODE_NAME" "$MARK-" >&2
}
# The mark comes before the cordon: an interruption between the two leaves nothing cordoned without a mark.
cordon() {
    [ "$(field .spec.unschedulable)" != true ] || return 0
    kube annotate node "$NODE_NAME" --overwrite "$MARK=$VERSION" >&2
    kube cordon "$NODE_NAME" >&2
}

now=$(running_version "$NODE")
[ -n "$now" ] || { say "$NODE_NAME ($NODE) does not report its Talos version"; exit 1; }
if [ "$now" = "$VERSION" ] && [ "$(schematic_of "$NODE")" -gt 0 ]; then
    uncordon
    echo "$NODE_NAME runs Talos $VERSION already"
    exit 0
fi
if ! adjacent "$now" "$VERSION"; then
    say "$NODE_NAME runs Talos $now: $VERSION is not the next minor version; raise talosVersion one minor at a time"
    exit 1
fi
wait_for 300 "etcd to be healthy before $NODE_NAME is upgraded" etcd_is_whole
wait_for 300 "node $NODE_NAME to be Ready before its upgrade" node_is_ready "$NODE_NAME"
if [ "$OTHERS_TAKE_PODS" = yes ]; then
    cordon
    drain || { uncordon; exit 1; }
else
    say "$NODE_NAME is not drained: no other node could run its pods, and a disruption budget would wait for ever"
fi
say "upgrading $NODE_NAME from Talos $now to $VERSION"
talos "$NODE" upgrade --image "$IMAGE" --drain=false --wait --timeout 20m >&2
on_version() { [ "$(running_version "$NODE")" = "$VERSION" ]; }
wait_for 600 "$NODE_NAME to answer with Talos $VERSION" on_version
wait_for 600 "etcd to be healthy after $NODE_NAME was upgraded" etcd_is_whole
wait_for 600 "node $NODE_NAME to be Ready after its upgrade" node_is_ready "$NODE_NAME"
uncordon
echo "$NODE_NAME runs Talos $VERSION"
