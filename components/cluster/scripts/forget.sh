# shellcheck shell=sh disable=SC2034,SC2154
# A control plane was lost and is made again: its old self, dead, still counts in etcd. It is removed so that the new one
# can join. Where no etcd answers, the whole cluster is made again and there is nothing to forget.
if printf '%s\n' "${PULUMI_COMMAND_STDOUT-}" | grep -qx "generation $GENERATION"; then
    echo "generation $GENERATION" # something else has changed
    exit 0
fi
list_members "$NODE" >&2 || {
    say "there is nothing to forget"
    echo "generation $GENERATION"
    exit 0
}
if is_member && ! talos "$NODE" etcd status >/dev/null 2>&1; then
    say "removing the lost $NODE_NAME from etcd"
    talos "$(first_control_plane "$NODE")" etcd remove-member "$(member_id)" >&2
fi
echo "generation $GENERATION"
