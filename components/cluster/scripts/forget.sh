# shellcheck shell=sh disable=SC2034,SC2154
# A control plane was lost and is made again: its dead member still counts in etcd, and is removed so that the new one can
# join. Where no etcd answers, the whole cluster is made again and has no member to remove.
if printf '%s\n' "${PULUMI_COMMAND_STDOUT-}" | grep -qx "generation $GENERATION"; then
    echo "generation $GENERATION" # another input has changed
    exit 0
fi
list_members "$NODE" >&2 || {
    say "etcd has no member to remove"
    echo "generation $GENERATION"
    exit 0
}
if is_member && ! talos "$NODE" etcd status >/dev/null 2>&1; then
    say "removing the lost $NODE_NAME from etcd"
    talos "$(first_control_plane "$NODE")" etcd remove-member "$(member_id)" >&2
fi
echo "generation $GENERATION"
