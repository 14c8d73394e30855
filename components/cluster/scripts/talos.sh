# shellcheck shell=sh
# What every script here begins with. Comes in by environment: SECRETS (the secrets bundle), CLUSTER, ENDPOINT (the
# Kubernetes API), CONTROL_PLANES (name=address, space between), NODE_NAME and NODE of the node in question.
# The client certificate is made from the bundle each time: one that was kept would expire after a year.
set -eu
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM # a shell that a signal ends would leave the credentials there
printf '%s' "$SECRETS" >"$work/secrets.yaml"
talosctl gen config --with-secrets "$work/secrets.yaml" --output-types talosconfig --output "$work/talosconfig" \
    "$CLUSTER" "$ENDPOINT" >/dev/null 2>"$work/said" || { cat "$work/said" >&2; exit 1; }
rm "$work/secrets.yaml"

say() { echo "$*" | cut -c1-2000 >&2; } # the plugin that runs this blocks for ever at a line of 64 KiB

addresses() { for pair in $1; do printf '%s ' "${pair#*=}"; done; }

# talos ADDRESS ARGUMENT...: asks one node through a control plane.
talos() {
    asked=$1
    shift
    talosctl --talosconfig "$work/talosconfig" --endpoints "$(addresses "$CONTROL_PLANES" | tr ' ' ',' | sed 's/,$//')" \
        --nodes "$asked" "$@"
}

# first_control_plane [EXCEPT]: the address of one that answers.
first_control_plane() {
    for address in $(addresses "$CONTROL_PLANES"); do
        if [ "$address" != "${1-}" ] && talos "$address" version --short >/dev/null 2>&1; then
            echo "$address"
            return
        fi
    done
    say "no control plane answers (asked: $CONTROL_PLANES)"
    return 1
}

kube() {
    [ -f "$work/kubeconfig" ] || talos "$(first_control_plane "${without-}")" kubeconfig --force --merge=false "$work/kubeconfig" >/dev/null
    kubectl --kubeconfig "$work/kubeconfig" "$@"
}

# wait_for SECONDS "what it waits for" COMMAND...: tries again until it succeeds, and says what it waits for.
wait_for() {
    limit=$1 what=$2
    shift 2
    began=$(date +%s) told=0
    until "$@" >"$work/last" 2>&1; do
        waited=$(($(date +%s) - began))
        if [ "$waited" -ge "$limit" ]; then
            say "still waiting for $what after $waited s; it last said: $(tail -n 1 "$work/last")"
            return 1
        fi
        if [ "$((waited / 15))" -gt "$told" ]; then
            told=$((waited / 15))
            say "waiting for $what ($waited s)"
        fi
        sleep "${PAUSE-1}"
    done
}

running_version() { talos "$1" version --short | sed -n 's/^[[:space:]]*Tag:[[:space:]]*v//p' | tail -n 1; }

# adjacent FROM TO: whether TO is the same minor version or the next one.
adjacent() {
    from=$(echo "$1" | cut -d. -f2) to=$(echo "$2" | cut -d. -f2)
    [ "${1%%.*}" = "${2%%.*}" ] && [ "$to" -ge "$from" ] && [ "$to" -le "$((from + 1))" ]
}

etcd_is_whole() {
    members=$(talos "$(first_control_plane "${1-}")" etcd members | tail -n +2 | grep -c .)
    [ "$members" -ge "$(echo "$CONTROL_PLANES" | wc -w)" ] || { echo "etcd has $members members"; return 1; }
    for address in $(addresses "$CONTROL_PLANES"); do
        talos "$address" etcd status >/dev/null || return 1
    done
}

# Of NODE_NAME, in the list of members that was asked for last.
member_id() { awk -v name="$NODE_NAME" '$3 == name {print $2}' "$work/members"; }
is_member() { [ -n "$(member_id)" ]; }

api_answers() { kube get --raw /readyz; }
node_is_ready() { kube wait --for=condition=Ready "node/$1" --timeout=1s; }
