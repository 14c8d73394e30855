# shellcheck shell=sh disable=SC2154
# Waits for one layer: until its ApplicationSets have generated their Applications and the apps of its foundation with
# automated sync are Synced and Healthy. It fails when nothing has changed for STALL_SECONDS, however long the whole takes.
# Input by environment: KUBECONFIG_TEXT, LAYER, SETS (names, separated by spaces), FOUNDATION (Applications, separated by
# spaces; empty to wait for generation alone), GATED (those of them that gates of the stack can hold back),
# STALL_SECONDS.
printf '%s' "$KUBECONFIG_TEXT" >"$work/kubeconfig"
kube() { kubectl --kubeconfig "$work/kubeconfig" --namespace argocd --request-timeout=30s "$@"; }

# One request per turn: a call of kubectl costs the API server more than the answer. Messages come last, as they may
# contain the separator.
up='{.status.conditions[?(@.type=="ResourcesUpToDate")].status}'
phase='{.status.operationState.phase}'
parts='{.status.history[0].deployedAt};{range .status.resources[*]}{.kind}/{.name} {.status} {.health.status};{end}'
error='{.status.conditions[?(@.type=="ErrorOccurred")].message}'
wrong='{.status.conditions[?(@.type=="ComparisonError")].message}'
state='{.kind}|{.metadata.name}|{.status.sync.status}|{.status.health.status}|{.spec.syncPolicy.automated}'
row="$state|$up|$phase|$parts|$error|$wrong|{.status.operationState.message}"
read_state() {
    kube get applicationsets,applications -l "homelab.dev/layer=$LAYER" \
        -o "jsonpath={range .items[*]}$row{\"\\n\"}{end}" >"$work/state" || : >"$work/state"
}

# A set is done when its condition reports it: an empty category has no Application to wait for.
ungenerated() {
    for set in $SETS; do
        grep -q "^ApplicationSet|$set|" "$work/state" || echo "ApplicationSet $set (missing)"
    done
    awk -F'|' '$1 == "ApplicationSet" && $6 != "True" {print "ApplicationSet " $2 " (" ($9 ? $9 : "not reconciled yet") ")"}' \
        "$work/state"
}

# An empty fifth column means manual sync, as for an app whose folder was deleted from Git. The eighth begins with the
# time of a sync that succeeded, if there was one: a change that a gate holds back waits for the operator, the first sync
# does not. The reason is the error, else the objects that are not Healthy.
unfinished() {
    for app in $FOUNDATION; do
        grep -q "^Application|$app|" "$work/state" || echo "$app (no Application: is its folder pushed?)"
    done
    awk -F'|' -v foundation=" $FOUNDATION " -v gated=" $GATED " '
        $1 != "Application" || !index(foundation, " " $2 " ") || /app path does not exist/ { next }
        $3 == "Synced" && $4 == "Healthy" { next }
        (index(gated, " " $2 " ") ? $8 ~ /^[0-9]/ && $3 != "Synced" : $5 == "") { next }
        {
            why = $10 ? $10 : ($7 == "Failed" || $7 == "Error" || $11 ~ /sync window/) ? $11 : ""
            count = why ? 0 : split($8, parts, ";")
            for (at = 1; at <= count; at++)
                if (parts[at] ~ / (Progressing|Degraded|Missing|Suspended)$/) why = why (why ? ", " : "") parts[at]
            print $2 " (" ($3 ? $3 ", " $4 : "not reconciled yet") (why ? ": " substr(why, 1, 300) : "") ")"
        }' "$work/state"
}

# The gated Applications of the foundation that were never synced and are in one of these phases of a sync.
never_synced() {
    awk -F'|' -v foundation=" $FOUNDATION " -v gated=" $GATED " -v phases=" $1 " '$1 == "Application" &&
        index(foundation, " " $2 " ") && index(gated, " " $2 " ") && $3 == "OutOfSync" && $8 !~ /^[0-9]/ &&
        index(phases, " " ($7 ? $7 : "none") " ") {print $2}' "$work/state"
}

# Argo CD never retries a commit whose sync has failed for good; the cause may have disappeared.
failed_syncs() {
    awk -F'|' -v foundation=" $FOUNDATION " '$1 == "Application" && index(foundation, " " $2 " ") &&
        $5 != "" && $3 != "Synced" && ($7 == "Failed" || $7 == "Error") {print $2}' "$work/state"
}

# Syncs the Applications of the input; the argument is the reason.
request_syncs() {
    while read -r app; do
        policy='{.spec.syncPolicy'
        prune=$(kube get application "$app" -o "jsonpath=$policy.automated.prune}") || continue
        options=$(kube get application "$app" -o "jsonpath=$policy.syncOptions}") || continue
        retry=$(kube get application "$app" -o "jsonpath=$policy.retry}") || continue
        say "$app: $1"
        operation="\"sync\":{\"prune\":${prune:-false},\"syncOptions\":${options:-[]}}${retry:+,\"retry\":$retry}"
        kube patch application "$app" --type merge \
            --patch "{\"operation\":{\"initiatedBy\":{\"username\":\"homelab up\"},$operation}}" >/dev/null ||
            say "$app: cannot be synced"
    done
}

# Only a new state counts as a change: an app that alternates between two states makes no progress.
read_clock
waited=0 reported=0 changed=0 synced=0
echo begin >"$work/known"
: >"$work/requested"
while :; do
    read_state
    tick
    awk -F'|' 'NR == FNR {known[$0]; next} {$0 = $1 "|" $2 "|" $3 "|" $4 "|" $6 "|" $7 "|" $8} !($0 in known)' \
        "$work/known" "$work/state" >"$work/new"
    if [ -s "$work/new" ]; then
        cat "$work/new" >>"$work/known"
        changed=$waited
    fi
    ungenerated >"$work/left"
    [ -s "$work/left" ] || unfinished >"$work/left"
    if [ ! -s "$work/left" ]; then
        echo "$LAYER: $(grep -c '^Application|' "$work/state" || true) applications generated, of these" \
            "$(echo "$FOUNDATION" | wc -w | tr -d ' ') Synced and Healthy as the foundation"
        exit 0
    fi
    if [ $((waited - changed)) -ge "$STALL_SECONDS" ]; then
        say "$LAYER: nothing has changed for $((waited - changed)) s (delivery.stallTimeout), after $waited s in all." \
            "Not finished:"
        head -n 20 "$work/left" | sed 's/^/  /' | cut -c1-2000 >&2
        exit 1
    fi
    never_synced none | grep -vxFf "$work/requested" >"$work/first" || :
    cat "$work/first" >>"$work/requested"
    request_syncs "first sync, which the gates of the stack do not hold back" <"$work/first"
    if [ $((waited - synced)) -ge "${SYNC_AGAIN-60}" ]; then
        synced=$waited
        {
            failed_syncs
            never_synced "none Failed Error"
        } | sort -u >"$work/failed"
        request_syncs "its sync failed; syncing again" <"$work/failed"
    fi
    if [ $((waited / 15)) -gt "$reported" ]; then
        reported=$((waited / 15))
        say "waiting for $LAYER ($waited s): $(head -n 5 "$work/left" | paste -sd, - | sed 's/,/, /g' | cut -c1-400)"
    fi
    sleep "${PAUSE-2}"
done
