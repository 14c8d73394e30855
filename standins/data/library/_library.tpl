{{/*
The objects that every stand-in makes from its description and its values. A description lists the workloads, and the key
of the values with the settings of each; image, replicas, resources and the like have the same names in nearly every
chart. `reads` gives the other names; an empty name is a setting that the chart lacks. Without values, pods have the
seccomp profile of `seccomp`, or none: a restricted namespace rejects the latter.
*/}}

{{- define "standin.fullname" -}}
{{- if .Values.fullnameOverride -}}{{ .Values.fullnameOverride }}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}{{ .Release.Name }}{{- else -}}{{ .Release.Name }}-{{ $name }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "standin.namespace" -}}
{{ default .Release.Namespace .Values.namespaceOverride }}
{{- end -}}

{{/* The value at a dotted path as JSON, in a map so that nothing is lost: {"value": ...}. */}}
{{- define "standin.at" -}}
{{- $here := .values -}}
{{- range $part := splitList "." .path -}}
{{- if $part -}}
{{- if kindIs "map" $here -}}{{- $here = get $here $part -}}{{- else -}}{{- $here = "" -}}{{- end -}}
{{- end -}}
{{- end -}}
{{ dict "value" $here | toJson }}
{{- end -}}

{{/* Text if all paths have a true value (`!path`: a false one), else nothing. */}}
{{- define "standin.wanted" -}}
{{- $all := "yes" -}}
{{- $values := .values -}}
{{- range $path := .when -}}
{{- $found := (include "standin.at" (dict "values" $values "path" (trimPrefix "!" $path)) | fromJson).value -}}
{{- $true := and $found (ne (toString $found) "false") -}}
{{- if hasPrefix "!" $path -}}{{- if $true -}}{{- $all = "" -}}{{- end -}}
{{- else if not $true -}}{{- $all = "" -}}{{- end -}}
{{- end -}}
{{ $all }}
{{- end -}}

{{/* The first of some keys that is set below the workload's part of the values, as {"value": ...}. */}}
{{- define "standin.setting" -}}
{{- $work := .work -}}
{{- $values := .values -}}
{{- $found := dict "value" "" -}}
{{- $paths := list -}}
{{- range $key := .keys -}}{{- $paths = append $paths (printf "%s.%s" (default "" $work.at) $key) -}}{{- end -}}
{{- if hasKey (default dict $work.reads) (first .keys) -}}
{{- $paths = without (list (get $work.reads (first .keys))) "" -}}
{{- end -}}
{{- range $path := $paths -}}
{{- if kindIs "string" $found.value -}}{{- if eq $found.value "" -}}
{{- $found = include "standin.at" (dict "values" $values "path" $path) | fromJson -}}
{{- end -}}{{- end -}}
{{- end -}}
{{ toJson $found }}
{{- end -}}

{{- define "standin.image" -}}
{{- $image := .image -}}
{{- if kindIs "map" $image -}}
{{- $repository := default .fallback (default $image.name $image.repository) -}}
{{- if $image.registry -}}{{- $repository = printf "%s/%s" $image.registry $repository -}}{{- end -}}
{{- $tag := printf "%v" (default .tag $image.tag) -}}
{{- if contains "@" (default "" $image.digest) -}}{{ $repository }}{{ $image.digest }}
{{- else if $image.digest -}}{{ $repository }}:{{ $tag }}@{{ $image.digest }}
{{- else -}}{{ $repository }}:{{ $tag }}
{{- end -}}
{{- else if $image -}}{{ $image }}
{{- else -}}{{ .fallback }}:{{ .tag }}
{{- end -}}
{{- end -}}

{{/* The labels that select a workload: those of the real one as far as they are known. */}}
{{- define "standin.selector" -}}
{{- $own := dict "app.kubernetes.io/name" (default .root.Chart.Name .root.Values.nameOverride) "app.kubernetes.io/instance" .root.Release.Name -}}
{{- with .work.part }}{{- $_ := set $own "app.kubernetes.io/component" . }}{{- end -}}
{{- $known := default dict (.root.Files.Get "standin.yaml" | fromYaml).pods -}}
{{- $name := printf "%s/%s" (default "Deployment" .work.kind) (tpl (default "" .work.name) .root) -}}
{{- range $workload, $labels := $known -}}
{{- if eq (tpl $workload $.root) $name -}}{{- $own = merge (dict) $labels $own -}}{{- end -}}
{{- end -}}
{{- tpl (toYaml $own) .root -}}
{{- end -}}

{{- define "standin.labels" -}}
{{ include "standin.selector" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_") }}
{{- with default dict .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- with default dict (default dict .root.Values.global).commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "standin.metadata" -}}
name: {{ .name }}
{{- if not (or .cluster (.root.Files.Get "standin.yaml" | fromYaml).withoutNamespace) }}
namespace: {{ include "standin.namespace" .root }}
{{- end }}
labels:
  {{- include "standin.labels" . | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Arguments in the form of the charts: a list as it is, a map as --key=value. */}}
{{- define "standin.arguments" -}}
{{- range $more := .lists }}
{{- if kindIs "map" $more }}
{{- range $key, $value := $more }}
- --{{ $key }}={{ $value }}
{{- end }}
{{- else if kindIs "slice" $more }}
{{- range $more }}
- {{ toString . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
