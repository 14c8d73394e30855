# shellcheck shell=sh disable=SC2034,SC2154
# Waits until a control plane works with a changed configuration, before the next one receives its own: the change may
# restart the API server, and if all restart at once, none answers. Talos writes the version of the configuration into its
# static pod, and the kubelet shows the running pod.
list_members >/dev/null || { echo "etcd does not run yet"; exit 0; }
versions() { sed -n 's#^ *\(talos.dev/[a-z-]*version\): *"\{0,1\}\([0-9a-z]*\).*#\1 \2#p' | sort -u; }
etcd_answers() { talos "$NODE" etcd status; }
api_runs_it() {
    talos "$NODE" get staticpods kube-apiserver -o yaml | versions >"$work/desired"
    kube -n kube-system get pod "kube-apiserver-$NODE_NAME" -o yaml | versions >"$work/running"
    if ! [ -s "$work/desired" ] || ! cmp -s "$work/desired" "$work/running"; then
        echo "its pod is still the old one"
        return 1
    fi
    kube -n kube-system wait --for=condition=Ready "pod/kube-apiserver-$NODE_NAME" --timeout=1s
}
sleep "${SETTLE-5}" # until Talos has written the new pod
wait_for 300 "etcd on $NODE_NAME" etcd_answers
wait_for 300 "the API server on $NODE_NAME to run its new configuration" api_runs_it
echo "$NODE_NAME runs its configuration"
