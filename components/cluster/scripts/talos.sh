# shellcheck shell=sh disable=SC2154
# The beginning of every script here, after components/scripts/begin.sh. Input by environment: SECRETS (the secrets
# bundle), CLUSTER, ENDPOINT (the Kubernetes API), CONTROL_PLANES (name=address, separated by spaces), NODE_NAME and NODE.
# The client certificate is made from the bundle each time: a stored one would expire after a year.
printf '%s' "$SECRETS" >"$work/secrets.yaml"
talosctl gen config --with-secrets "$work/secrets.yaml" --output-types talosconfig --output "$work/talosconfig" \
    "$CLUSTER" "$ENDPOINT" >/dev/null 2>"$work/errors" || { cat "$work/errors" >&2; exit 1; }
rm "$work/secrets.yaml"

addresses() { for pair in $1; do printf '%s ' "${pair#*=}"; done; }

# talos ADDRESS ARGUMENT...: calls one node through a control plane. Long operations have a timeout of their own.
talos() {
    target=$1
    shift
    case $1 in
        upgrade | upgrade-k8s) most=3600 ;;
        bootstrap) most=600 ;; # an etcd snapshot is sent
        *) most=${ANSWER_SECONDS-60} ;;
    esac
    within "$most" talosctl --talosconfig "$work/talosconfig" --endpoints "$(addresses "$CONTROL_PLANES" | tr ' ' ',' | sed 's/,$//')" \
        --nodes "$target" "$@"
}

# first_control_plane [EXCEPT]: the address of a control plane that answers.
first_control_plane() {
    for address in $(addresses "$CONTROL_PLANES"); do
        if [ "$address" != "${1-}" ] && talos "$address" version --short >/dev/null 2>&1; then
            echo "$address"
            return
        fi
    done
    say "no control plane answers (tried: $CONTROL_PLANES)"
    return 1
}

kube() {
    [ -f "$work/kubeconfig" ] || talos "$(first_control_plane "${without-}")" kubeconfig --force --merge=false "$work/kubeconfig" >/dev/null
    case $1 in
        wait | drain) kubectl --kubeconfig "$work/kubeconfig" "$@" ;; # their --timeout limits the watch
        *) kubectl --kubeconfig "$work/kubeconfig" --request-timeout=30s "$@" ;;
    esac
}

# wait_for SECONDS CONDITION COMMAND...: retries the command until it succeeds, and reports the condition meanwhile.
wait_for() {
    limit=$1 condition=$2
    shift 2
    waited=0 reported=0
    read_clock
    until "$@" >"$work/last" 2>&1; do
        tick
        if [ "$waited" -ge "$limit" ]; then
            say "still waiting for $condition after $waited s; last output: $(tail -n 1 "$work/last")"
            return 1
        fi
        if [ "$((waited / 15))" -gt "$reported" ]; then
            reported=$((waited / 15))
            say "waiting for $condition ($waited s)"
        fi
        sleep "${PAUSE-1}"
    done
}

running_version() { talos "$1" version --short | sed -n 's/^[[:space:]]*Tag:[[:space:]]*v//p' | tail -n 1; }

# adjacent FROM TO: succeeds if TO is the same minor version or the next one.
adjacent() {
    from=$(echo "$1" | cut -d. -f2) to=$(echo "$2" | cut -d. -f2)
    [ "${1%%.*}" = "${2%%.*}" ] && [ "$to" -ge "$from" ] && [ "$to" -le "$((from + 1))" ]
}

# list_members [EXCEPT]: tries one control plane after the other until an etcd answers; $work/members then has a line
# "ID NAME LEARNER ADDRESS" for each member. A member that never started has no name and is listed as "-".
list_members() {
    for address in $(addresses "$CONTROL_PLANES"); do
        [ "$address" != "${1-}" ] || continue
        if talos "$address" etcd members >"$work/table" 2>"$work/errors"; then
            sed 1d "$work/table" | awk 'NF { peer = NF < 6 ? $3 : $4; sub("https?://", "", peer); sub(":[0-9]+$", "", peer)
                print $2, NF < 6 ? "-" : $3, $NF, peer }' >"$work/members"
            return
        fi
    done
    echo "no etcd answers (tried: $CONTROL_PLANES): $(tail -n 1 "$work/errors")"
    return 1
}
# Both read the most recent list.
member_id() { awk -v name="${1-$NODE_NAME}" '$2 == name {print $1}' "$work/members"; }
is_member() { [ -n "$(member_id "$@")" ]; }

# etcd_is_whole: succeeds if every control plane is a voting member that answers, and no other member exists: a dead one
# counts in the quorum. LEAVING lists the control planes that this run removes at its end.
etcd_is_whole() {
    list_members || return 1
    learner=$(awk '$3 == "true" {print $2; exit}' "$work/members")
    [ -z "$learner" ] || { echo "$learner is a learner in etcd, which does not vote yet"; return 1; }
    for pair in $CONTROL_PLANES; do
        is_member "${pair%%=*}" || { echo "${pair%%=*} is no member of etcd"; return 1; }
        talos "${pair#*=}" etcd status >/dev/null || return 1
    done
    known=" $(echo "$CONTROL_PLANES" | sed 's/=[^ ]*//g') ${LEAVING-} "
    other=$(awk -v known="$known" '!index(known, " " $2 " ") {print $2; exit}' "$work/members")
    [ -z "$other" ] && return
    echo "etcd has the member $other, which is no control plane of the settings: remove it (talosctl etcd remove-member)"
    return 1
}

api_answers() { kube get --raw /readyz; }
node_is_ready() { kube wait --for=condition=Ready "node/$1" --timeout=1s; }

# drain: evicts the pods of NODE_NAME, and reports the ones that are left after DRAIN_SECONDS.
drain() {
    say "draining $NODE_NAME: its pods move, disruption budgets are respected, for up to $((DRAIN_SECONDS / 60)) min"
    kube drain "$NODE_NAME" --ignore-daemonsets --delete-emptydir-data --timeout="${DRAIN_SECONDS}s" >&2 || {
        say "$NODE_NAME is not empty after $((DRAIN_SECONDS / 60)) min: delete the pods listed above, or loosen their" \
            "disruption budgets, or raise cluster.drainTimeout; then run the same command again"
        return 1
    }
}
