# shellcheck shell=sh disable=SC2034,SC2154
# Removes one node from the cluster before its VM is deleted: drains it, removes it from etcd, deletes its Node. The disk is
# deleted with the VM, so nothing is wiped here. A control plane that has not left etcd keeps its VM: a member without a
# VM still counts in the quorum.
without=$NODE
answers=no
talos "$NODE" version --short >/dev/null 2>&1 && answers=yes

if [ "$ROLE" = control-plane ]; then
    list_members "$NODE" >&2
    left=$(($(grep -c . "$work/members") - 1))
    healthy=0
    for address in $(addresses "$CONTROL_PLANES"); do
        if [ "$address" != "$NODE" ] && talos "$address" etcd status >/dev/null 2>&1; then healthy=$((healthy + 1)); fi
    done
    if is_member && [ "$healthy" -le "$((left / 2))" ]; then
        say "removing $NODE_NAME would leave $healthy healthy members of $left in etcd, which is no quorum: repair etcd first"
        exit 1
    fi
fi
if kube get node "$NODE_NAME" >/dev/null 2>&1; then
    if [ $answers = yes ]; then
        drain || exit 1
    else
        kube cordon "$NODE_NAME" >&2
    fi
fi
has_left_etcd() { list_members "$NODE" && ! is_member; }
if [ "$ROLE" = control-plane ] && is_member; then
    if [ $answers = yes ]; then
        say "$NODE_NAME leaves etcd"
        talos "$NODE" etcd leave >&2 && wait_for "${LEAVE_SECONDS-60}" "$NODE_NAME to have left etcd" has_left_etcd || true
    fi
    if ! has_left_etcd >&2; then
        say "removing $NODE_NAME from etcd"
        talos "$(first_control_plane "$NODE")" etcd remove-member "$(member_id)" >&2
        wait_for 60 "$NODE_NAME to have left etcd" has_left_etcd
    fi
fi
# The VIP may have been on this node, and then moves.
node_is_deleted() { kube delete node "$NODE_NAME" --ignore-not-found; }
wait_for 300 "Kubernetes to delete the Node $NODE_NAME" node_is_deleted
echo "$NODE_NAME has left the cluster"
