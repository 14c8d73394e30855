# shellcheck shell=sh disable=SC2034,SC2154
# Bootstraps etcd on NODE, once. A cluster with an etcd is left unchanged, so that an interrupted run can be repeated and
# no second etcd starts beside a running one. RECOVER_FROM, where set, is an etcd snapshot to bootstrap from.
node_answers() { talos "$NODE" version --short; }
wait_for 600 "$NODE_NAME ($NODE) to answer with its configuration" node_answers
if list_members >/dev/null; then
    if [ -n "${RECOVER_FROM-}" ]; then
        say "etcd runs already, with $(awk '{print $2}' "$work/members" | tr '\n' ' '): it is not bootstrapped from $RECOVER_FROM"
        exit 1
    fi
    is_member || say "etcd runs on the other control planes: $NODE_NAME joins them"
    echo "the cluster is bootstrapped already"
    exit 0
fi
# A node answers long before it can bootstrap etcd: until CRI runs and the time is set, it returns FailedPrecondition.
refused=
etcd_starts() {
    talos "$NODE" bootstrap ${RECOVER_FROM:+--recover-from="$RECOVER_FROM"} && return
    grep -Eq 'AlreadyExists' "$work/last" && return
    grep -Eq 'FailedPrecondition|Unavailable|DeadlineExceeded' "$work/last" || refused=yes
    cp "$work/last" "$work/refusal"
    [ -n "$refused" ]
}
say "bootstrapping etcd on $NODE_NAME"
wait_for 600 "$NODE_NAME to start etcd" etcd_starts
[ -z "$refused" ] || { cat "$work/refusal" >&2; exit 1; }
echo "etcd started on $NODE_NAME"
