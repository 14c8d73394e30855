# shellcheck shell=sh disable=SC2034,SC2154
# Takes one node out of the cluster before its VM is deleted: drains it, lets it leave etcd, resets it, forgets it.
# A node that does not answer is forgotten without a reset: it has nothing left to say.
without=$NODE
other=$(first_control_plane "$NODE")
answers=no
talos "$NODE" version --short >/dev/null 2>&1 && answers=yes

if [ "$ROLE" = control-plane ]; then
    talos "$other" etcd members >"$work/members"
    members=$(tail -n +2 "$work/members" | grep -c .)
    healthy=0
    for address in $(addresses "$CONTROL_PLANES"); do
        if [ "$address" != "$NODE" ] && talos "$address" etcd status >/dev/null 2>&1; then healthy=$((healthy + 1)); fi
    done
    left=$((members - 1))
    if is_member && [ "$healthy" -le "$((left / 2))" ]; then
        say "removing $NODE_NAME would leave $healthy healthy members of $left in etcd, which is no quorum: mend etcd first"
        exit 1
    fi
fi
if kube get node "$NODE_NAME" >/dev/null 2>&1; then
    say "draining $NODE_NAME"
    if [ $answers = yes ]; then
        kube drain "$NODE_NAME" --ignore-daemonsets --delete-emptydir-data --timeout=10m >&2
    else
        kube cordon "$NODE_NAME" >&2
    fi
fi
if [ $answers = yes ]; then
    say "resetting $NODE_NAME"
    talos "$NODE" reset --graceful --wipe-mode system-disk --wait=false >&2
elif [ "$ROLE" = control-plane ] && is_member; then
    say "$NODE_NAME does not answer: removing it from etcd"
    talos "$other" etcd remove-member "$(member_id)" >&2
fi
kube delete node "$NODE_NAME" --ignore-not-found >&2
echo "$NODE_NAME has left the cluster"
