{{- /*
Owns names and labels, and what other templates need to know of the server's configuration: ports, shards, times. Its defaults
are those of the server (src/config); tests/chart compares the two.
*/ -}}

{{- define "sfumato.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* Room is left for the suffixes of other resources. */ -}}
{{- define "sfumato.fullname" -}}
{{- $name := include "sfumato.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sfumato.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sfumato.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sfumato.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "sfumato.selectorLabels" . }}
app.kubernetes.io/version: {{ default .Chart.AppVersion .Values.image.tag | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "sfumato.metadata" -}}
name: {{ include "sfumato.fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "sfumato.labels" . | nindent 2 }}
{{- end -}}

{{- define "sfumato.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "sfumato.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}
{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create -}}
{{ include "sfumato.fullname" . }}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{- define "sfumato.keysSecretName" -}}
{{- default (printf "%s-keys" (include "sfumato.fullname" .)) .Values.keys.existingSecret -}}
{{- end -}}

{{- /* TCP port of signalling and page. */ -}}
{{- define "sfumato.signallingPort" -}}
{{- dig "port" 7880 .Values.config | int -}}
{{- end -}}

{{- /* TCP port of metrics, health and debugging. */ -}}
{{- define "sfumato.operationsPort" -}}
{{- dig "prometheus" "port" (dig "prometheus_port" 6789 .Values.config) .Values.config | int -}}
{{- end -}}

{{- /* The first UDP port of media. */ -}}
{{- define "sfumato.mediaPort" -}}
{{- dig "rtc" "udp_port" 7882 .Values.config | int -}}
{{- end -}}

{{- /* UDP ports the chart knows of: one a shard. Without `config.shards` the server counts the node's cores, so it is one then. */ -}}
{{- define "sfumato.mediaPorts" -}}
{{- dig "shards" 1 .Values.config | int -}}
{{- end -}}

{{- /* Several servers at once: known from the values, or possible. */ -}}
{{- define "sfumato.several" -}}
{{- if eq .Values.kind "DaemonSet" -}}
{{- if not (hasKey .Values.nodeSelector "kubernetes.io/hostname") }}true{{ end -}}
{{- else if .Values.autoscaling.enabled -}}
{{- if gt (int .Values.autoscaling.maxReplicas) 1 }}true{{ end -}}
{{- else if gt (int .Values.replicas) 1 -}}true
{{- end -}}
{{- end -}}

{{- /* Seconds a server may take to end. */ -}}
{{- define "sfumato.terminationSeconds" -}}
{{- $grace := dig "drain" "grace" 18000 .Values.config | int -}}
{{- $spread := dig "drain" "spread" 20 .Values.config | int -}}
{{- add $grace $spread (int .Values.terminationMarginSeconds) (int .Values.preStopSleepSeconds) -}}
{{- end -}}
