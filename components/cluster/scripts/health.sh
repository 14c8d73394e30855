# shellcheck shell=sh disable=SC2034,SC2154
# Waits until the control plane is complete: every member in etcd, the API ready, every node registered. Nodes are not
# Ready before the CNI is installed. Control planes that were removed from the settings leave at the end of this run: until
# then they may be members.
LEAVING=$(printf '%s\n' "${PULUMI_COMMAND_STDOUT-}" | sed -n 's/^control planes: //p')
registered() {
    for pair in $NODES; do
        kube get node "${pair%%=*}" || return 1
    done
}

wait_for 600 "etcd: a healthy member on each of $CONTROL_PLANES, and no other" etcd_is_whole
wait_for 300 "the Kubernetes API at $ENDPOINT" api_answers
wait_for 600 "every node to register: $NODES" registered
echo "etcd, API and $(echo "$NODES" | wc -w | tr -d ' ') nodes answer"
echo "control planes: $(echo "$CONTROL_PLANES" | sed 's/=[^ ]*//g')"
