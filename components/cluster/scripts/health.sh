# shellcheck shell=sh disable=SC2034,SC2154
# Waits until the control plane is whole: every member in etcd, the API ready, every node registered.
# Nodes are not Ready yet where the CNI is still to come.
registered() {
    for pair in $NODES; do
        kube get node "${pair%%=*}" || return 1
    done
}

wait_for 600 "etcd: a healthy member on each of $CONTROL_PLANES" etcd_is_whole
wait_for 300 "the Kubernetes API at $ENDPOINT" api_answers
wait_for 600 "every node to register: $NODES" registered
echo "etcd, API and $(echo "$NODES" | wc -w | tr -d ' ') nodes answer"
