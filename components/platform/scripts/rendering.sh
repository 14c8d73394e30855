# shellcheck shell=sh disable=SC2153,SC2154
# The beginning of the platform's scripts, after components/scripts/begin.sh: credentials and a copy of the tree in the
# script's folder, and `build`, which renders a folder of the copy. Input by environment: KUBECONFIG_TEXT and KUBERNETES
# (the version that charts render for). Runs from the checkout.
printf '%s' "$KUBECONFIG_TEXT" >"$work/kubeconfig"
unset KUBECONFIG_TEXT
kube() { kubectl --kubeconfig "$work/kubeconfig" "$@"; }

# Kustomize pulls charts into the folder of a kustomization: a copy leaves the checkout unchanged. HOMELAB_SEEDS is the path
# of a tree that contains the charts already; it is no input of the resource, because the render is the same without it.
cp -R "${HOMELAB_SEEDS:-.}/apps" "$work/"
# An app that was promoted is pinned to a commit, and Argo CD renders it from there: so does its seed. HOMELAB_PINS has the
# trees of commits, with charts, by their hashes; a commit that it lacks comes from Git, from the history of HEAD: others
# have no review. `at FOLDER` prints the place.
cat >"$work/at" <<'AT'
pin=$(grep -hE '^[^#]*homelab\.dev/revision' "$WORK/$1/kustomization.yaml" 2>/dev/null | grep -oE '[0-9a-f]{40}' | head -n 1)
[ -n "$pin" ] || { echo "$WORK"; exit 0; }
if [ ! -d "$WORK/pins/$pin" ]; then
    part=$(mktemp -d "$WORK/pin.XXXXXX")
    if [ -d "${HOMELAB_PINS:-/nonexistent}/$pin/apps" ]; then
        cp -R "$HOMELAB_PINS/$pin/apps" "$part/"
    else
        git merge-base --is-ancestor "$pin" HEAD &&
            GIT_INDEX_FILE="$part.index" git read-tree "$pin:$(git rev-parse --show-prefix)" &&
            GIT_INDEX_FILE="$part.index" git checkout-index --all --prefix="$part/"
    fi >&2 || { echo "$1 is pinned to $pin, which is no commit of the history here: git fetch --unshallow" >&2; exit 1; }
    mkdir -p "$WORK/pins"
    mv "$part" "$WORK/pins/$pin" 2>/dev/null || rm -rf "$part" # another process was faster
fi
echo "$WORK/pins/$pin"
AT
# A program and no function: several run in parallel. Objects go to FOLDER.built in the copy, errors to FOLDER.errors.
cat >"$work/build" <<'BUILD'
. "$WORK/within.sh"
# Kustomize and helm read files of any merged branch: no credentials in their environment, and no plugin of helm.
# HOMELAB_PROCESS marks the processes of a run, which ends them when it is interrupted.
alone() {
    for name in HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy \
        SSL_CERT_FILE SSL_CERT_DIR GIT_SSL_CAINFO HOMELAB_PROCESS; do
        eval "value=\${$name-}"
        [ -z "$value" ] || set -- "$name=$value" "$@"
    done
    # A render pulls charts and clones bases, and each may hang.
    within "${RENDER_SECONDS-300}" env -i PATH="$PATH" HOME="$WORK" TMPDIR="$WORK" HELM_PLUGINS=/dev/null GIT_ALLOW_PROTOCOL=https "$@"
}
# Network errors, as helm, git and kustomize print them. A retry cannot fix any other error.
network='dial tcp|i/o timeout|TLS handshake|connection re(set|fused)|no such host|[Tt]imed out|deadline exceeded'
network="$network|unexpected EOF|early EOF|[Cc]ould not (resolve|connect)|RPC failed|hit [0-9.a-z]+ timeout|: (429|50[0-4])( |$)"
place=$(sh "$WORK/at" "$1" 2>"$WORK/$1.errors") || exit 1
attempt=1 most=${BUILDS-5}
while :; do
    alone kustomize build --enable-helm --load-restrictor LoadRestrictionsNone --helm-kube-version "$KUBERNETES" \
        "$place/$1" >"$WORK/$1.built" 2>"$WORK/$1.errors" && break
    [ $? -ne 124 ] || echo "$1: timed out after ${RENDER_SECONDS-300} s: a server does not answer" >>"$WORK/$1.errors"
    grep -qE "$network" "$WORK/$1.errors" || exit 1
    why=$(grep -E "$network" "$WORK/$1.errors" | tail -n 1)
    [ "$attempt" -lt "$most" ] || { echo "$1: the network failed $most times" >>"$WORK/$1.errors"; exit 1; }
    attempt=$((attempt + 1))
    echo "building $1 again, attempt $attempt of $most: $why" | cut -c1-2000 >&2
    sleep "${PAUSE-10}"
done
BUILD
build() { WORK=$work sh "$work/build" "$1"; }
