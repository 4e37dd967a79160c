{{- define "ktrail.name" -}}
{{- coalesce .Values.fullnameOverride .Values.nameOverride .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "ktrail.selector" -}}
app.kubernetes.io/name: ktrail
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "ktrail.labels" -}}
{{ include "ktrail.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ktrail.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "ktrail.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "ktrail.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ printf "%s@%s" .repository .digest }}{{- else -}}{{ printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Kubernetes before 1.30 has an annotation for it. */}}
{{- define "ktrail.oldAppArmor" -}}
{{- if semverCompare "<1.30-0" .Capabilities.KubeVersion.Version -}}
{{- dig "appArmorProfile" "type" "" .Values.securityContext | replace "Unconfined" "unconfined" | replace "RuntimeDefault" "runtime/default" -}}
{{- end -}}
{{- end -}}

{{- define "ktrail.securityContext" -}}
{{- $context := deepCopy .Values.securityContext -}}
{{- if $context.privileged -}}{{- $context = omit $context "capabilities" "allowPrivilegeEscalation" -}}{{- end -}}
{{- if include "ktrail.oldAppArmor" . -}}{{- $context = omit $context "appArmorProfile" -}}{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{- define "ktrail.secret" -}}
{{- if .Values.secret.data -}}{{ include "ktrail.name" . }}{{- else -}}{{ .Values.secret.name }}{{- end -}}
{{- end -}}

{{/* Whether the agents ask the API server. */}}
{{- define "ktrail.asks" -}}
{{- if or .Values.kubernetes.policies .Values.kubernetes.pods -}}yes{{- end -}}
{{- end -}}

{{/* The whole configuration of the agent. Null removes an exporter. */}}
{{- define "ktrail.config" -}}
{{- $exporters := dict -}}
{{- range $name, $exporter := .Values.exporters -}}
{{- if $exporter -}}{{- $_ := set $exporters $name $exporter -}}{{- end -}}
{{- end -}}
{{- $server := dict "http" (printf "0.0.0.0:%d" (int .Values.http.port)) -}}
{{- with .Values.http.tokenKey -}}{{- $_ := set $server "token" (printf "${file:/etc/ktrail/secrets/%s}" .) -}}{{- end -}}
{{- $config := dict "node_name" "${env:NODE_NAME}" "procfs" "/host/proc" "server" $server "exporters" $exporters -}}
{{- $policies := list -}}
{{- range .Values.library -}}{{- $policies = append $policies (printf "library:%s" .) -}}{{- end -}}
{{- if .Values.policies -}}{{- $policies = append $policies "/etc/ktrail/policies" -}}{{- end -}}
{{- with $policies -}}{{- $_ := set $config "policies" . -}}{{- end -}}
{{- if include "ktrail.asks" . -}}
{{- $kubernetes := dict "policies" .Values.kubernetes.policies "pods" .Values.kubernetes.pods -}}
{{- with .Values.kubernetes.policySelector -}}{{- $_ := set $kubernetes "policy_selector" . -}}{{- end -}}
{{- with .Values.kubernetes.policyNames -}}{{- $_ := set $kubernetes "policy_names" . -}}{{- end -}}
{{- $_ := set $config "kubernetes" $kubernetes -}}
{{- end -}}
{{- toYaml (mergeOverwrite $config (deepCopy .Values.config)) -}}
{{- end -}}

{{/* What the agent does not change while it runs: a pod with another one is replaced. */}}
{{- define "ktrail.restartKeys" -}}
{{- omit (include "ktrail.config" . | fromYaml) "exporters" "policies" "shutdown" | toYaml -}}
{{- end -}}

{{/* One volume, so that kubelet changes all of it at once. Not by subPath, which never changes. */}}
{{- define "ktrail.configVolume" -}}
- name: config
  projected:
    defaultMode: 0400
    sources:
      - configMap: { name: {{ include "ktrail.name" . }} }
      {{- if .Values.policies }}
      - configMap:
          name: {{ include "ktrail.name" . }}-policies
          items:
            {{- range $file, $_ := .Values.policies }}
            - { key: {{ $file }}, path: policies/{{ $file }} }
            {{- end }}
      {{- end }}
      {{- with include "ktrail.secret" . }}
      - secret:
          name: {{ . }}
          items:
            {{- range default (keys $.Values.secret.data | sortAlpha) $.Values.secret.keys }}
            - { key: {{ . }}, path: secrets/{{ . }} }
            {{- else }}
            {{- fail "secret.keys: expected the keys of the secret that the agent reads" }}
            {{- end }}
      {{- end }}
{{- end -}}
