# shellcheck shell=sh
# Waits for one layer: until its ApplicationSets have generated their Applications and, where UNTIL says so, until all of
# those that sync by themselves are Synced and Healthy. Comes in by environment: KUBECONFIG_TEXT, LAYER, SETS (names, space
# between), UNTIL (generated or healthy), SECONDS_LEFT.
set -eu
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '%s' "$KUBECONFIG_TEXT" >"$work/kubeconfig"
kube() { kubectl --kubeconfig "$work/kubeconfig" --namespace argocd "$@"; }
say() { echo "$*" >&2; }

row='{.metadata.name}|{.status.sync.status}|{.status.health.status}|{.spec.syncPolicy.automated}'
look() {
    kube get applications -l "homelab.dev/layer=$LAYER" -o "jsonpath={range .items[*]}$row{\"\n\"}{end}" >"$work/seen"
}

# A set is done when it says so: an empty category has none to wait for.
generated() {
    for set in $SETS; do
        kube get applicationset "$set" -o 'jsonpath={.status.conditions[?(@.type=="ResourcesUpToDate")].status}' |
            grep -q True || { echo "ApplicationSet $set: $(kube get applicationset "$set" \
            -o 'jsonpath={.status.conditions[?(@.type=="ErrorOccurred")].message}')"; return 1; }
    done
}

# Those that wait for a person's sync have nothing in the last column.
unfinished() {
    awk -F'|' '$4 != "" && !($2 == "Synced" && $3 == "Healthy") {print $1 " (" ($2 ? $2 ", " $3 : "not looked at") ")"}' \
        "$work/seen"
}

began=$(date +%s) told=0
while :; do
    if waits_for=$(generated); then
        look
        if [ "$UNTIL" = generated ] || [ -z "$(unfinished)" ]; then
            echo "$LAYER: $(grep -c . "$work/seen" || true) applications"
            exit 0
        fi
        waits_for=$(unfinished | head -n 5 | paste -sd, -)
    fi
    waited=$(($(date +%s) - began))
    if [ "$waited" -ge "$SECONDS_LEFT" ]; then
        say "$LAYER is not there after $waited s; still waiting for: $waits_for"
        unfinished | head -n 20 >&2
        exit 1
    fi
    if [ $((waited / 15)) -gt "$told" ]; then
        told=$((waited / 15))
        say "waiting for $LAYER ($waited s): $waits_for"
    fi
    sleep "${PAUSE-1}"
done
