{{/* All objects of a description for the given values, but for CRDs. */}}
{{- define "standin.made" -}}
{{- $root := . }}
{{- $described := .Files.Get "standin.yaml" | fromYaml }}
{{- range $work := default list $described.workloads }}
{{- if include "standin.wanted" (dict "values" $root.Values "when" (default list $work.when)) }}
{{- include "standin.workload" (dict "root" $root "work" $work) }}
{{- end }}
{{- end }}
{{- range $hook := default list $described.webhooks }}
{{- if include "standin.wanted" (dict "values" $root.Values "when" (default list $hook.when)) }}
{{- include "standin.webhooks" (dict "root" $root "hook" $hook "work" dict) }}
{{- end }}
{{- end }}
{{- range $path := default list $described.extra }}
{{- $found := (include "standin.at" (dict "values" $root.Values "path" $path) | fromJson).value }}
{{- range $object := ternary (values (ternary $found dict (kindIs "map" $found))) (ternary $found list (kindIs "slice" $found)) (kindIs "map" $found) }}
---
{{ tpl (ternary $object (toYaml $object) (kindIs "string" $object)) $root }}
{{- end }}
{{- end }}
{{- with $described.objects }}
---
{{ tpl . $root }}
{{- end }}
{{- end -}}

{{/* Objects that the real chart makes regardless of its values, and the description does not: by name, without content. */}}
{{- define "standin.facts" -}}
{{- $root := .root -}}
{{- $there := dict -}}
{{- range $document := splitList "\n---" .made -}}
{{- $object := fromYaml $document -}}
{{- if $object.kind -}}{{- $_ := set $there (printf "%s/%s" $object.kind $object.metadata.name) true -}}{{- end -}}
{{- end -}}
{{- range $fact := .facts }}
{{- $name := tpl $fact.name $root }}
{{- if not (hasKey $there (printf "%s/%s" $fact.kind $name)) }}
---
apiVersion: {{ $fact.apiVersion }}
kind: {{ $fact.kind }}
metadata:
  name: {{ $name | quote }}
  {{- with $fact.namespace }}
  namespace: {{ tpl . $root | trim }}
  {{- end }}
{{- if eq $fact.kind "Service" }}
spec:
  selector:
    app.kubernetes.io/instance: {{ $root.Release.Name }}
  ports:
    {{- range $port, $number := $fact.ports }}
    - name: {{ ternary (printf "port-%s" $port) $port (regexMatch "^[0-9]+$" $port) }}
      port: {{ $number }}
    {{- end }}
{{- else if hasSuffix "RoleBinding" $fact.kind }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ first (splitList "/" $fact.role) }}
  name: {{ tpl (join "/" (rest (splitList "/" $fact.role))) $root }}
subjects:
  {{- range $account := $fact.accounts }}
  {{- $parts := splitList "/" (tpl $account $root) }}
  - kind: ServiceAccount
    name: {{ last $parts }}
    {{- with first $parts | trim }}
    namespace: {{ . }}
    {{- end }}
  {{- end }}
{{- else if hasSuffix "Role" $fact.kind }}
rules: []
{{- else if eq $fact.kind "ServiceMonitor" }}
spec:
  selector: {}
  endpoints: []
{{- else if eq $fact.kind "PrometheusRule" }}
spec:
  groups: []
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
