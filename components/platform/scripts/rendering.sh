# shellcheck shell=sh disable=SC2153
# Begins the scripts of the platform: a folder that ends with the script, for credentials and for a copy of the tree, and
# `build`, which renders a folder of the copy. Comes in by environment: KUBECONFIG_TEXT and KUBERNETES (the version that
# charts are told). Runs from the checkout.
set -eu
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM # a shell that a signal ends would leave the credentials there
printf '%s' "$KUBECONFIG_TEXT" >"$work/kubeconfig"
unset KUBECONFIG_TEXT
kube() { kubectl --kubeconfig "$work/kubeconfig" "$@"; }
# The plugin that runs this blocks for ever at a line of 64 KiB.
cut_lines() { cut -c1-2000; }
say() { echo "$*" | cut_lines >&2; }

# Charts are pulled beside a kustomization: into a copy, so that the checkout stays as it is. HOMELAB_SEEDS names a tree in
# which they lie already; it is no input of the resource, a machine without one renders the same.
cp -R "${HOMELAB_SEEDS:-.}/apps" "${HOMELAB_SEEDS:-.}/environments" "$work/"
# A program and no function: several run at once. Objects go to FOLDER.built in the copy, the error output to FOLDER.said.
cat >"$work/build" <<'BUILD'
# A render pulls charts and clones bases: one that hangs is ended. macOS has no `timeout`, and Perl.
if timeout --foreground 1 true 2>/dev/null; then
    within() { timeout --foreground "$@"; }
else
    # Go programs do not end on SIGALRM, so a parent ends them.
    within() {
        perl -e '$most = shift; $child = fork // exit 127; $child or exec(@ARGV) or exit 127;
            $SIG{ALRM} = sub { kill "KILL", $child; exit 124 }; alarm $most; waitpid $child, 0;
            exit($? & 127 ? 128 + ($? & 127) : $? >> 8)' "$@"
    }
fi
# Kustomize and helm read files that a merge brought: no credentials in their environment, and no plugin of helm.
# HOMELAB_PROCESS is the mark by which a run finds its processes when it is interrupted.
alone() {
    for name in HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy \
        SSL_CERT_FILE SSL_CERT_DIR GIT_SSL_CAINFO HOMELAB_PROCESS; do
        eval "value=\${$name-}"
        [ -z "$value" ] || set -- "$name=$value" "$@"
    done
    within "${RENDER_SECONDS-300}" env -i PATH="$PATH" HOME="$WORK" TMPDIR="$WORK" HELM_PLUGINS=/dev/null GIT_ALLOW_PROTOCOL=https "$@"
}
# In the words of helm, git and kustomize. All else no retry mends.
network='dial tcp|i/o timeout|TLS handshake|connection re(set|fused)|no such host|[Tt]imed out|deadline exceeded'
network="$network|unexpected EOF|early EOF|[Cc]ould not (resolve|connect)|RPC failed|hit [0-9.a-z]+ timeout|: (429|50[0-4])( |$)"
attempt=1 most=${BUILDS-5}
while :; do
    alone kustomize build --enable-helm --load-restrictor LoadRestrictionsNone --helm-kube-version "$KUBERNETES" \
        "$WORK/$1" >"$WORK/$1.built" 2>"$WORK/$1.said" && break
    [ $? -ne 124 ] || echo "$1: timed out after ${RENDER_SECONDS-300} s: a server does not answer" >>"$WORK/$1.said"
    grep -qE "$network" "$WORK/$1.said" || exit 1
    why=$(grep -E "$network" "$WORK/$1.said" | tail -n 1)
    [ "$attempt" -lt "$most" ] || { echo "$1: the network failed $most times" >>"$WORK/$1.said"; exit 1; }
    attempt=$((attempt + 1))
    echo "building $1 again, attempt $attempt of $most: $why" | cut -c1-2000 >&2
    sleep "${PAUSE-10}"
done
BUILD
build() { WORK=$work sh "$work/build" "$1"; }
