# shellcheck shell=sh disable=SC2154
# Applies the CustomResourceDefinitions of many folders, and nothing else of them: whoever comes later finds the kinds that
# he watches, and Argo CD does not read the whole API anew for each. Comes in by environment: CATEGORIES (space between),
# SEEDED (folders of them that are applied whole anyway) and ENVIRONMENT (whose folders take the bases' places). A folder
# that cannot be built is said and left to Argo CD, which says more about it. Can be run again.
cat >"$work/one" <<'ONE'
set -eu
[ -n "${1-}" ] || exit 0 # some xargs run once where there is nothing
for file in kustomization.yaml kustomization.yml Kustomization; do [ ! -f "$WORK/$1/$file" ] || break; done
[ -f "$WORK/$1/$file" ] || exit 0 # manifests and umbrella charts are left to Argo CD
sh "$WORK/build" "$1" ||
    { echo "$1 is left to Argo CD: $(tail -n 1 "$WORK/$1.said")" | cut -c1-2000 >&2; exit 0; }
awk '$0 == "---" { head = ""; said = is = 0; next }
    said { if (is) print; next }
    { head = head $0 "\n" }
    /^kind: / { said = 1; is = $2 == "CustomResourceDefinition"; if (is) printf "---\n%s", head }' \
    "$WORK/$1.built" >"$WORK/$1.crds"
[ ! -s "$WORK/$1.crds" ] || kubectl --kubeconfig "$WORK/kubeconfig" --request-timeout=2m apply --server-side --force-conflicts \
    --field-manager=argocd-controller -f "$WORK/$1.crds" >>"$WORK/applied" 2>"$WORK/$1.said" ||
    { cut -c1-2000 <"$WORK/$1.said" >&2; echo "$1: its definitions cannot be applied" >&2; exit 1; }
ONE
say "applying definitions of $CATEGORIES"
: >"$work/applied"
for category in $CATEGORIES; do
    for app in "apps/$category"/[!_]*/; do
        name=$category/$(basename "$app")
        case " $SEEDED " in *" $name "*) continue ;; esac
        overlay=environments/$ENVIRONMENT/$name
        if [ -d "$overlay" ]; then echo "$overlay"; else echo "${app%/}"; fi
    done
done | WORK=$work xargs -n 1 -P 4 sh "$work/one"
echo "$(wc -l <"$work/applied") definitions"
