# shellcheck shell=sh disable=SC2034,SC2154
# Upgrades Kubernetes to VERSION after Talos' own dry run has succeeded. Can be interrupted and run again.
now=$(kube version -o yaml | sed -n '/serverVersion/,$s/^ *gitVersion: *v//p' | head -n 1)
oldest=$(kube get nodes -o 'jsonpath={range .items[*]}{.status.nodeInfo.kubeletVersion}{"\n"}{end}' | sed 's/^v//' | sort -V | head -n 1)
[ -n "$oldest" ] || { say "no node reports its Kubernetes version"; exit 1; }
if [ "$oldest" = "$VERSION" ]; then
    echo "every node runs Kubernetes $VERSION already"
    exit 0
fi
if ! adjacent "$oldest" "$VERSION"; then
    say "nodes run Kubernetes $oldest: $VERSION is not the next minor version; raise kubernetesVersion one minor at a time"
    exit 1
fi
plane=$(first_control_plane)
wait_for 300 "etcd to be healthy before Kubernetes is upgraded" etcd_is_whole
say "dry run: Kubernetes from $oldest (API server $now) to $VERSION"
talos "$plane" upgrade-k8s --from "$oldest" --to "$VERSION" --dry-run >&2
say "upgrading Kubernetes from $oldest to $VERSION"
talos "$plane" upgrade-k8s --from "$oldest" --to "$VERSION" >&2
all_on_version() {
    kube get nodes -o 'jsonpath={range .items[*]}{.status.nodeInfo.kubeletVersion}{"\n"}{end}' >"$work/versions"
    ! grep -qvx "v$VERSION" "$work/versions"
}
wait_for 900 "every node to run Kubernetes $VERSION" all_on_version
wait_for 300 "the Kubernetes API at $ENDPOINT" api_answers
echo "Kubernetes $VERSION"
