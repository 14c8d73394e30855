# shellcheck shell=sh disable=SC2034,SC2153,SC2154
# Applies one folder of the apps tree, once, with Argo CD's field manager: a field that is deleted in Git is then deleted
# in the cluster. Input by environment: FOLDER, NAMESPACE (for objects without one) and WAITS (namespace/kind/name,
# separated by spaces). Can be run again.
kube config set-context --current --namespace "$NAMESPACE" >/dev/null
build "$FOLDER" || { say "$FOLDER cannot be built:"; cut_lines <"$work/$FOLDER.errors" >&2; exit 1; }
mv "$work/$FOLDER.built" "$work/built.yaml"

# Argo CD writes the owning application on each object, as APP:GROUP/KIND:NAMESPACE/NAME. This apply has Argo CD's field
# manager: without the annotation it would delete it from a live object, and the application would stay OutOfSync. Kinds
# without a CRD have no objects yet.
columns='ID:.metadata.annotations.argocd\.argoproj\.io/tracking-id'
kube get --request-timeout=2m --ignore-not-found -f "$work/built.yaml" --no-headers -o "custom-columns=$columns" >"$work/notes" 2>/dev/null || :
awk '
    function put(  i) {
        for (i = 1; i <= lines; i++) {
            print line[i]
            if (i == after && (kind, name, namespace) in note)
                printf "%s    argocd.argoproj.io/tracking-id: \"%s\"\n", head, note[kind, name, namespace]
        }
        lines = after = inside = 0; head = "  annotations:\n"; group = kind = name = namespace = ""
    }
    function value(text) { gsub(/^[^:]*: *["\047]?|["\047]$/, "", text); return text }
    BEGIN { put() }
    FILENAME == ARGV[1] {
        rest = substr($0, index($0, ":") + 1); kind = substr(rest, 1, index(rest, ":") - 1)
        rest = substr(rest, index(rest, ":") + 1); cut = index(rest, "/")
        note[kind, substr(rest, cut + 1), substr(rest, 1, cut - 1)] = note[kind, substr(rest, cut + 1), ""] = $0
        kind = ""
        next
    }
    $0 == "---" { put(); print; next }
    { line[++lines] = $0 }
    /^apiVersion: / { group = value($0); if (!sub("/.*", "", group)) group = "" }
    /^kind: / { kind = group "/" value($0) }
    /^[a-z]/ { inside = $0 == "metadata:"; if (inside) after = lines }
    inside && /^  annotations:$/ { after = lines; head = "" }
    inside && /^  name: / { name = value($0) }
    inside && /^  namespace: / { namespace = value($0) }
    END { put() }
' "$work/notes" "$work/built.yaml" >"$work/objects.yaml"

# Custom resources can be applied when their CRDs are established and webhooks answer: both take a moment after the first
# attempt. Retrying cannot fix some errors: fail immediately.
permanent='field not declared|is invalid:|strict decoding error|field is immutable|violates PodSecurity'
attempts=0
until kube apply --request-timeout=2m --server-side --force-conflicts --field-manager=argocd-controller -f "$work/objects.yaml" \
    >"$work/output" 2>&1; do
    attempts=$((attempts + 1))
    if [ "$attempts" -ge "${TRIES-40}" ] || grep -qE "$permanent" "$work/output"; then
        say "$FOLDER cannot be applied:"
        grep -v 'serverside-applied$' "$work/output" | cut_lines >&2
        exit 1
    fi
    [ $((attempts % 5)) -ne 0 ] || say "applying $FOLDER again: $(grep -v 'serverside-applied$' "$work/output" | tail -n 1)"
    sleep "${PAUSE-3}"
done
echo "$FOLDER: $(grep -c 'serverside-applied$' "$work/output") objects applied"

for wait in $WAITS; do
    namespace=${wait%%/*} rest=${wait#*/}
    say "waiting for $rest in $namespace"
    case $rest in
        deployment/* | daemonset/* | statefulset/*) kube -n "$namespace" rollout status "$rest" --timeout=30m >/dev/null ;;
        crd/*) kube wait --for=condition=Established "$rest" --timeout=2m >/dev/null ;;
        nodes/all) kube wait --for=condition=Ready nodes --all --timeout=30m >/dev/null ;;
        *) kube -n "$namespace" wait --for=condition=Ready "$rest" --timeout=30m >/dev/null ;;
    esac
done
