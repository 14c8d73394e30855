# shellcheck shell=sh disable=SC2154
# Applies the CustomResourceDefinitions of many folders, and nothing else of them: controllers that start later find the
# kinds that they watch, and Argo CD need not read the whole API again for each. Input by environment: CATEGORIES (separated
# by spaces), SEEDED (apps of them that a seed applies) and ENVIRONMENT (whose folder each app has). A folder that
# cannot be built is reported and left to Argo CD, whose report has more detail. Can be run again.
cat >"$work/one" <<'ONE'
set -eu
[ -n "${1-}" ] || exit 0 # some xargs run once on empty input
for file in kustomization.yaml kustomization.yml Kustomization; do [ ! -f "$WORK/$1/$file" ] || break; done
[ -f "$WORK/$1/$file" ] || exit 0 # manifests and umbrella charts are left to Argo CD
sh "$WORK/build" "$1" ||
    { echo "$1 is left to Argo CD: $(tail -n 1 "$WORK/$1.errors")" | cut -c1-2000 >&2; exit 0; }
awk '$0 == "---" { head = ""; found = is = 0; next }
    found { if (is) print; next }
    { head = head $0 "\n" }
    /^kind: / { found = 1; is = $2 == "CustomResourceDefinition"; if (is) printf "---\n%s", head }' \
    "$WORK/$1.built" >"$WORK/$1.crds"
[ ! -s "$WORK/$1.crds" ] || kubectl --kubeconfig "$WORK/kubeconfig" --request-timeout=2m apply --server-side --force-conflicts \
    --field-manager=argocd-controller -f "$WORK/$1.crds" >>"$WORK/applied" 2>"$WORK/$1.errors" ||
    { cut -c1-2000 <"$WORK/$1.errors" >&2; echo "$1: its CRDs cannot be applied" >&2; exit 1; }
ONE
say "applying definitions of $CATEGORIES"
: >"$work/applied"
for category in $CATEGORIES; do
    for folder in "apps/$category"/*/"$ENVIRONMENT"; do
        app=${folder%/*}
        case " $SEEDED " in *" $category/${app##*/} "*) continue ;; esac
        [ ! -d "$folder" ] || echo "$folder"
    done
done | WORK=$work xargs -n 1 -P 4 sh "$work/one"
echo "$(wc -l <"$work/applied") definitions"
