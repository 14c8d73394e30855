# shellcheck shell=sh
# Waits for one layer: until its ApplicationSets have generated their Applications and, where UNTIL says so, until all of
# those that sync by themselves are Synced and Healthy. Comes in by environment: KUBECONFIG_TEXT, LAYER, SETS (names, space
# between), UNTIL (generated or healthy), SECONDS_LEFT.
set -eu
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM # a shell that a signal ends would leave the credentials there
printf '%s' "$KUBECONFIG_TEXT" >"$work/kubeconfig"
kube() { kubectl --kubeconfig "$work/kubeconfig" --namespace argocd "$@"; }
say() { echo "$*" | cut -c1-2000 >&2; } # the plugin that runs this blocks for ever at a line of 64 KiB

# One question a turn: each kubectl costs the API server more than the answer.
up='.status.conditions[?(@.type=="ResourcesUpToDate")].status'
error='.status.conditions[?(@.type=="ErrorOccurred")].message'
wrong='.status.conditions[?(@.type=="ComparisonError")].message'
row="{.kind}|{.metadata.name}|{.status.sync.status}|{.status.health.status}|{.spec.syncPolicy.automated}|{$up}|{$error}|{$wrong}"
look() {
    kube get applicationsets,applications -l "homelab.dev/layer=$LAYER" \
        -o "jsonpath={range .items[*]}$row{\"\\n\"}{end}" >"$work/seen" || : >"$work/seen"
}

# A set is done when it says so: an empty category has none to wait for.
ungenerated() {
    for set in $SETS; do
        grep -q "^ApplicationSet|$set|" "$work/seen" || echo "ApplicationSet $set: not there"
    done
    awk -F'|' '$1 == "ApplicationSet" && $6 != "True" {print "ApplicationSet " $2 ": " ($7 ? $7 : "not looked at")}' \
        "$work/seen"
}

# Those that wait for a person's sync have nothing in the fifth column; those whose folder left Git wait for a person too.
unfinished() {
    awk -F'|' '$1 == "Application" && $5 != "" && !($3 == "Synced" && $4 == "Healthy") && !/app path does not exist/ {
        print $2 " (" ($3 ? $3 ", " $4 : "not looked at") ")"}' "$work/seen"
}

began=$(date +%s) told=0
while :; do
    look
    waits_for=$(ungenerated)
    if [ -z "$waits_for" ]; then
        if [ "$UNTIL" = generated ] || [ -z "$(unfinished)" ]; then
            echo "$LAYER: $(grep -c '^Application|' "$work/seen" || true) applications"
            exit 0
        fi
        waits_for=$(unfinished | head -n 5)
    fi
    waits_for=$(echo "$waits_for" | paste -sd, - | sed 's/,/, /g')
    waited=$(($(date +%s) - began))
    if [ "$waited" -ge "$SECONDS_LEFT" ]; then
        say "$LAYER is not there after $waited s; still waiting for: $waits_for"
        unfinished | head -n 20 | cut -c1-2000 >&2
        exit 1
    fi
    if [ $((waited / 15)) -gt "$told" ]; then
        told=$((waited / 15))
        say "waiting for $LAYER ($waited s): $waits_for"
    fi
    sleep "${PAUSE-2}"
done
