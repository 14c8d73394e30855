# shellcheck shell=sh disable=SC2153
# Applies one folder of the apps tree, once, in Argo CD's own name: what later leaves Git then leaves the cluster.
# Comes in by environment: KUBECONFIG_TEXT, FOLDER, NAMESPACE (for objects that name none), KUBERNETES (the version that
# charts are told) and WAITS (namespace/kind/name, space between). Runs from the checkout; can be run again.
set -eu
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM # a shell that a signal ends would leave the credentials there
printf '%s' "$KUBECONFIG_TEXT" >"$work/kubeconfig"
unset KUBECONFIG_TEXT
# Kustomize and helm read files that a merge brought: no credentials in their environment, and no plugin of helm.
alone() {
    for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy SSL_CERT_FILE SSL_CERT_DIR GIT_SSL_CAINFO; do
        eval "value=\${$name-}"
        [ -z "$value" ] || set -- "$name=$value" "$@"
    done
    env -i PATH="$PATH" HOME="$work" TMPDIR="$work" HELM_PLUGINS=/dev/null GIT_ALLOW_PROTOCOL=https "$@"
}
kube() { kubectl --kubeconfig "$work/kubeconfig" "$@"; }
say() { echo "$*" >&2; }

kube config set-context --current --namespace "$NAMESPACE" >/dev/null
# Charts are pulled beside a kustomization: into a copy, so that the checkout stays as it is.
cp -R apps environments "$work/"
alone kustomize build --enable-helm --load-restrictor LoadRestrictionsNone --helm-kube-version "$KUBERNETES" \
    "$work/$FOLDER" >"$work/objects.yaml"

# Custom resources come after their definitions are known and webhooks answer: both take a moment after the first try.
# What no waiting mends ends it at once.
for_ever='field not declared|is invalid:|strict decoding error|field is immutable|violates PodSecurity'
tries=0
until kube apply --request-timeout=2m --server-side --force-conflicts --field-manager=argocd-controller -f "$work/objects.yaml" \
    >"$work/said" 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -ge "${TRIES-40}" ] || grep -qE "$for_ever" "$work/said"; then
        say "$FOLDER cannot be applied:"
        grep -v 'serverside-applied$' "$work/said" >&2
        exit 1
    fi
    [ $((tries % 5)) -ne 0 ] || say "applying $FOLDER again: $(grep -v 'serverside-applied$' "$work/said" | tail -n 1)"
    sleep "${PAUSE-3}"
done
echo "$FOLDER: $(grep -c 'serverside-applied$' "$work/said") objects applied"

for wait in $WAITS; do
    namespace=${wait%%/*} rest=${wait#*/}
    say "waiting for $rest in $namespace"
    case $rest in
        deployment/* | daemonset/* | statefulset/*) kube -n "$namespace" rollout status "$rest" --timeout=10m >/dev/null ;;
        crd/*) kube wait --for=condition=Established "$rest" --timeout=2m >/dev/null ;;
        nodes/all) kube wait --for=condition=Ready nodes --all --timeout=10m >/dev/null ;;
        *) kube -n "$namespace" wait --for=condition=Ready "$rest" --timeout=10m >/dev/null ;;
    esac
done
