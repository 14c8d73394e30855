{{/* Roles: the rights that the description grants, cluster-wide or in the release's namespace. */}}
{{- define "standin.roles" -}}
{{- $work := .work -}}
{{- $about := . -}}
{{- range $scope := list "cluster" "namespace" }}
{{- with get (default dict $work.grants) $scope }}
{{- $prefix := ternary "Cluster" "" (eq $scope "cluster") }}
{{- $meta := merge (dict "cluster" (eq $scope "cluster")) $about }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $prefix }}Role
metadata:
  {{- include "standin.metadata" $meta | nindent 2 }}
rules:
  {{- range $group, $resources := . }}
  - apiGroups: [{{ ternary "" $group (eq $group "core") | quote }}]
    resources: {{ toJson $resources }}
    verbs: [get, list, watch, create, update, patch, delete]
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $prefix }}RoleBinding
metadata:
  {{- include "standin.metadata" $meta | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $prefix }}Role
  name: {{ $about.name }}
subjects:
  - kind: ServiceAccount
    name: {{ $about.account }}
    namespace: {{ include "standin.namespace" $about.root }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Services: a map of names to ports, each a number or the port of a Service and of the container. */}}
{{- define "standin.service" -}}
{{- $about := . -}}
{{- $set := ternary .settings.service dict (kindIs "map" .settings.service) -}}
{{- range $name, $ports := default dict .work.services }}
---
apiVersion: v1
kind: Service
metadata:
  {{- include "standin.metadata" (merge (dict "name" (tpl $name $about.root) "annotations" $set.annotations) $about) | nindent 2 }}
spec:
  {{- if eq (toString (index $ports "headless")) "true" }}
  clusterIP: None
  {{- else }}
  type: {{ default "ClusterIP" $set.type }}
  {{- end }}
  selector:
    {{- include "standin.selector" $about | nindent 4 }}
  ports:
    {{- range $port, $number := omit $ports "headless" }}
    {{- if regexMatch "^[0-9]+$" $port }}
    - port: {{ $port }}
      targetPort: {{ $number }}
    {{- else }}
    - name: {{ $port }}
      port: {{ $number }}
      targetPort: {{ ternary $port $number (hasKey (default dict $about.work.ports) $port) }}
    {{- end }}
      protocol: {{ ternary "UDP" "TCP" (hasSuffix "udp" $port) }}
    {{- end }}
{{- end }}
{{- end -}}

{{/* A disruption budget and a ServiceMonitor of a workload, if the values enable them. */}}
{{- define "standin.watch" -}}
{{- $about := . -}}
{{- $pdb := ternary .settings.pdb dict (kindIs "map" .settings.pdb) }}
{{- if $pdb.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "standin.metadata" $about | nindent 2 }}
spec:
  {{- if or (hasKey $pdb "maxUnavailable") (not (hasKey $pdb "minAvailable")) }}
  maxUnavailable: {{ default 1 $pdb.maxUnavailable }}
  {{- else }}
  minAvailable: {{ $pdb.minAvailable }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "standin.selector" $about | nindent 6 }}
{{- end }}
{{- range $path := default list .work.monitor }}
{{- $monitor := (include "standin.at" (dict "values" $about.root.Values "path" $path) | fromJson).value }}
{{- if and (kindIs "map" $monitor) (eq (toString (default false $monitor.enabled)) "true") }}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  {{- include "standin.metadata" $about | nindent 2 }}
    {{- with default $monitor.labels $monitor.additionalLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "standin.selector" $about | nindent 6 }}
  endpoints:
    - port: {{ default "metrics" $about.work.metrics }}
      {{- with $monitor.interval }}
      interval: {{ . }}
      {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Configurations of admission webhooks without a server: they have the right names and fail open. */}}
{{- define "standin.webhooks" -}}
{{- $about := . -}}
{{- $name := tpl .hook.name .root }}
{{- range $type := .hook.types }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: {{ $type }}WebhookConfiguration
metadata:
  {{- include "standin.metadata" (merge (dict "name" $name "cluster" true) $about) | nindent 2 }}
webhooks:
  - name: {{ lower $type }}.{{ $about.hook.domain }}
    admissionReviewVersions: [v1]
    sideEffects: None
    failurePolicy: Ignore
    timeoutSeconds: 5
    clientConfig:
      service:
        name: {{ tpl $about.hook.service $about.root }}
        namespace: {{ include "standin.namespace" $about.root }}
        path: /{{ lower $type }}
    rules:
      {{- range $group, $resources := $about.hook.rules }}
      - apiGroups: [{{ ternary "" $group (eq $group "core") | quote }}]
        apiVersions: ["*"]
        operations: [CREATE, UPDATE]
        resources: {{ toJson $resources }}
      {{- end }}
{{- end }}
{{- end -}}
