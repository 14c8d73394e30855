# shellcheck shell=sh disable=SC2034,SC2154
# Begins etcd on NODE, once. A cluster that has an etcd already is left alone, so that an interrupted run can be repeated
# and a second etcd never begins beside a living one. RECOVER_FROM, where set, is an etcd snapshot to begin from.
node_answers() { talos "$NODE" version --short; }
wait_for 600 "$NODE_NAME ($NODE) to answer with its configuration" node_answers
if list_members >/dev/null; then
    if [ -n "${RECOVER_FROM-}" ]; then
        say "etcd runs already, with $(awk '{print $2}' "$work/members" | tr '\n' ' '): it is not begun from $RECOVER_FROM"
        exit 1
    fi
    is_member || say "etcd runs on the other control planes: $NODE_NAME joins them"
    echo "the cluster is bootstrapped already"
    exit 0
fi
# A node answers long before it can begin etcd: until CRI is up and the time is right it says FailedPrecondition.
refused=
etcd_begins() {
    talos "$NODE" bootstrap ${RECOVER_FROM:+--recover-from="$RECOVER_FROM"} && return
    grep -Eq 'AlreadyExists' "$work/last" && return
    grep -Eq 'FailedPrecondition|Unavailable|DeadlineExceeded' "$work/last" || refused=yes
    cp "$work/last" "$work/said"
    [ -n "$refused" ]
}
say "bootstrapping etcd on $NODE_NAME"
wait_for 600 "$NODE_NAME to begin etcd" etcd_begins
[ -z "$refused" ] || { cat "$work/said" >&2; exit 1; }
echo "etcd began on $NODE_NAME"
