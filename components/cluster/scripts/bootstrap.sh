# shellcheck shell=sh disable=SC2034,SC2154
# Begins etcd on NODE, once. A cluster that answers already is left alone, so that an interrupted run can be repeated.
# RECOVER_FROM, where set, is an etcd snapshot to begin from.
node_answers() { talos "$NODE" version --short; }
wait_for 600 "$NODE_NAME ($NODE) to answer with its configuration" node_answers
if talos "$NODE" etcd members >"$work/members" 2>/dev/null && [ "$(tail -n +2 "$work/members" | grep -c .)" -gt 0 ]; then
    echo "the cluster is bootstrapped already"
    exit 0
fi
say "bootstrapping etcd on $NODE_NAME"
talos "$NODE" bootstrap ${RECOVER_FROM:+--recover-from="$RECOVER_FROM"} 2>"$work/said" || {
    grep -q AlreadyExists "$work/said" || { cat "$work/said" >&2; exit 1; }
}
echo "etcd began on $NODE_NAME"
