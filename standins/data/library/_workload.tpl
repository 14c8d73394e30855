{{/* One workload of a description with its account, roles, services, disruption budget and monitor. */}}
{{- define "standin.workload" -}}
{{- $root := .root -}}
{{- $work := .work -}}
{{- $values := $root.Values -}}
{{- $name := tpl $work.name $root -}}
{{- $kind := default "Deployment" $work.kind -}}
{{- $about := dict "root" $root "work" $work "name" $name -}}
{{- $settings := dict -}}
{{- range $key, $keys := dict
  "image" (list "image")
  "replicas" (list "replicas" "replicaCount")
  "resources" (list "resources")
  "nodeSelector" (list "nodeSelector")
  "tolerations" (list "tolerations")
  "affinity" (list "affinity")
  "topologySpreadConstraints" (list "topologySpreadConstraints")
  "priorityClassName" (list "priorityClassName")
  "podLabels" (list "podLabels" "labels")
  "podAnnotations" (list "podAnnotations")
  "annotations" (list "annotations" "deploymentAnnotations")
  "podSecurityContext" (list "podSecurityContext")
  "containerSecurityContext" (list "containerSecurityContext")
  "strategy" (list "strategy" "updateStrategy" "deploymentStrategy")
  "env" (list "env" "extraEnv" "extraEnvVars")
  "args" (list "args")
  "extraArgs" (list "extraArgs" "additionalArguments")
  "volumes" (list "extraVolumes" "volumes")
  "mounts" (list "extraVolumeMounts" "volumeMounts")
  "serviceAccount" (list "serviceAccount")
  "service" (list "service")
  "pdb" (list "podDisruptionBudget" "pdb")
-}}
{{- $query := dict "work" $work "values" $values "keys" $keys -}}
{{- $_ := set $settings $key (include "standin.setting" $query | fromJson).value -}}
{{- end -}}
{{- $account := default dict $settings.serviceAccount -}}
{{- $accountName := default (tpl (default $work.name $work.account) $root) $account.name -}}
{{- $makesAccount := and (not $work.sharesAccount) (ne (toString (default true $account.create)) "false") -}}
{{- if hasKey $account "create" -}}{{- $makesAccount = and $account.create (not $work.sharesAccount) -}}{{- end }}
{{- $tag := default $root.Chart.AppVersion $work.tag }}
{{- $image := include "standin.image" (dict "image" $settings.image "fallback" (default $name $work.image) "tag" $tag) }}
---
apiVersion: {{ ternary "batch/v1" "apps/v1" (has $kind (list "CronJob" "Job")) }}
kind: {{ $kind }}
metadata:
  {{- $annotated := merge (dict "annotations" (ternary $settings.annotations dict (kindIs "map" $settings.annotations))) $about }}
  {{- include "standin.metadata" $annotated | nindent 2 }}
spec:
  {{- if eq $kind "CronJob" }}
  schedule: {{ default $work.schedule (include "standin.setting" (dict "work" $work "values" $values "keys" (list "schedule")) | fromJson).value | quote }}
  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      template:
        {{- include "standin.pod" (dict "root" $root "work" $work "settings" $settings "name" $name "image" $image "account" $accountName) | nindent 8 }}
  {{- else }}
  {{- if ne $kind "DaemonSet" }}
  replicas: {{ ternary (default 1 $work.replicas) $settings.replicas (kindIs "string" $settings.replicas) }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "standin.selector" $about | nindent 6 }}
  {{- with $settings.strategy }}
  {{- if kindIs "map" . }}
  {{ ternary "strategy" "updateStrategy" (eq $kind "Deployment") }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- if eq $kind "StatefulSet" }}
  serviceName: {{ tpl (default $work.name $work.headless) $root }}
  {{- with $work.claim }}
  {{- $claim := (include "standin.at" (dict "values" $values "path" (default "" .values)) | fromJson).value | default dict }}
  volumeClaimTemplates:
    - metadata:
        name: {{ .name }}
        {{- with $claim.annotations }}
        annotations:
          {{- toYaml . | nindent 10 }}
        {{- end }}
      spec:
        accessModes: {{ default (list "ReadWriteOnce") $claim.accessModes | toJson }}
        {{- with $claim.storageClass }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests:
            storage: {{ default .size $claim.size }}
  {{- end }}
  {{- end }}
  template:
    {{- include "standin.pod" (dict "root" $root "work" $work "settings" $settings "name" $name "image" $image "account" $accountName) | nindent 4 }}
  {{- end }}
{{- if $makesAccount }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "standin.metadata" (merge (dict "name" $accountName "annotations" $account.annotations) $about) | nindent 2 }}
{{- end }}
{{- include "standin.roles" (merge (dict "account" $accountName) $about) }}
{{- include "standin.service" (merge (dict "settings" $settings) $about) }}
{{- include "standin.watch" (merge (dict "settings" $settings "replicas" $settings.replicas) $about) }}
{{- end -}}

{{- define "standin.pod" -}}
{{- $root := .root -}}
{{- $work := .work -}}
{{- $settings := .settings -}}
metadata:
  labels:
    {{- include "standin.labels" . | nindent 4 }}
    {{- if kindIs "map" $settings.podLabels }}
    {{- with $settings.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- end }}
  {{- with $settings.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ .account }}
  {{- if has (default "Deployment" $work.kind) (list "CronJob" "Job") }}
  restartPolicy: OnFailure
  {{- end }}
  {{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" }}
  {{- with get $settings $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- range $key, $set := default dict $work.host }}
  {{ $key }}: {{ $set }}
  {{- end }}
  {{- if $settings.podSecurityContext }}
  securityContext:
    {{- toYaml $settings.podSecurityContext | nindent 4 }}
  {{- else if not (or $work.privileged $work.root) }}
  securityContext:
    runAsNonRoot: true
    runAsUser: {{ default 65534 $work.user }}
    {{- if $work.seccomp }}
    seccompProfile:
      type: {{ $work.seccomp }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ tpl (default $work.name $work.container) $root }}
      image: {{ .image | quote }}
      imagePullPolicy: {{ default "IfNotPresent" (ternary $settings.image dict (kindIs "map" $settings.image)).pullPolicy }}
      {{- with include "standin.arguments" (dict "lists" (list $work.args $settings.args $settings.extraArgs)) | trim }}
      args:
        {{- . | nindent 8 }}
      {{- end }}
      {{- if kindIs "slice" $settings.env }}
      {{- with $settings.env }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- else if kindIs "map" $settings.env }}
      {{- with $settings.env }}
      env:
        {{- range $key, $value := . }}
        - name: {{ $key }}
          {{- if kindIs "map" $value }}
          {{- toYaml $value | nindent 10 }}
          {{- else }}
          value: {{ toString $value | quote }}
          {{- end }}
        {{- end }}
      {{- end }}
      {{- end }}
      {{- with $work.ports }}
      ports:
        {{- range $key, $port := . }}
        - name: {{ $key }}
          containerPort: {{ $port }}
          protocol: {{ ternary "UDP" "TCP" (hasSuffix "udp" $key) }}
        {{- end }}
      {{- end }}
      {{- with $work.probe }}
      {{- range $probe := list "readinessProbe" "livenessProbe" }}
      {{ $probe }}:
        tcpSocket:
          port: {{ $work.probe }}
      {{- end }}
      {{- end }}
      {{- with $settings.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- if $settings.containerSecurityContext }}
        {{- toYaml $settings.containerSecurityContext | nindent 8 }}
        {{- else if $work.privileged }}
        privileged: true
        {{- else }}
        allowPrivilegeEscalation: false
        {{- if not $work.root }}
        readOnlyRootFilesystem: true
        {{- end }}
        capabilities:
          drop:
            - ALL
          {{- with $work.capabilities }}
          add:
            {{- toYaml . | nindent 12 }}
          {{- end }}
        {{- end }}
      {{- $claimed := and $work.claim (ne (default "Deployment" $work.kind) "StatefulSet") }}
      {{- $mounts := ternary $settings.mounts list (kindIs "slice" $settings.mounts) }}
      {{- $volumes := ternary $settings.volumes list (kindIs "slice" $settings.volumes) }}
      {{- with $work.claim }}
      {{- $mounts = append $mounts (dict "name" .name "mountPath" .path) }}
      {{- end }}
      {{- if $claimed }}
      {{- $volumes = append $volumes (dict "name" $work.claim.name "persistentVolumeClaim" (dict "claimName" (tpl $work.claim.claim $root))) }}
      {{- end }}
      {{- range $key, $path := default dict $work.paths }}
      {{- $mounts = append $mounts (dict "name" $key "mountPath" $path) }}
      {{- $volumes = append $volumes (dict "name" $key "hostPath" (dict "path" $path)) }}
      {{- end }}
      {{- with $mounts }}
      volumeMounts:
        {{- toYaml . | nindent 8 }}
      {{- end }}
  {{- with $volumes }}
  volumes:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
