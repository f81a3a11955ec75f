{{- /* Owns the pod of a server, the same for every kind of workload. */ -}}

{{- define "sfumato.podTemplate" -}}
metadata:
  labels:
    # Nothing that changes with the chart: that would restart servers in vain.
    {{- include "sfumato.selectorLabels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # The server reads its configuration once; certificates it reads again by itself.
    checksum/config: {{ toYaml .Values.config | sha256sum }}
    checksum/keys: {{ toYaml .Values.keys.values | sha256sum }}
    kubectl.kubernetes.io/default-container: sfumato
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- if eq .Values.network.mode "host" }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  serviceAccountName: {{ include "sfumato.serviceAccountName" . }}
  automountServiceAccountToken: false
  # A Service named sfumato would set SFUMATO_PORT.
  enableServiceLinks: false
  # The time to drain (config.drain), and to end.
  terminationGracePeriodSeconds: {{ include "sfumato.terminationSeconds" . }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  containers:
    - {{- include "sfumato.container" . | nindent 6 }}
  volumes:
    - name: config
      configMap:
        name: {{ include "sfumato.fullname" . }}
    {{- with .Values.tls.secretName }}
    - name: tls
      secret:
        secretName: {{ . }}
        # For the group of the pod.
        defaultMode: 0440
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- include "sfumato.placement" . | trim | nindent 2 }}
{{- end -}}

{{- define "sfumato.container" -}}
name: sfumato
image: {{ include "sfumato.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
env:
  {{- include "sfumato.environment" . | nindent 2 }}
ports:
  - name: signalling
    containerPort: {{ include "sfumato.signallingPort" . }}
    protocol: TCP
  - name: operations
    containerPort: {{ include "sfumato.operationsPort" . }}
    protocol: TCP
  {{- $first := include "sfumato.mediaPort" . | int }}
  {{- range $index := until (include "sfumato.mediaPorts" . | int) }}
  - name: media-{{ $index }}
    containerPort: {{ add $first $index }}
    protocol: UDP
  {{- end }}
livenessProbe:
  httpGet:
    path: /livez
    port: operations
  {{- toYaml .Values.livenessProbe | nindent 2 }}
readinessProbe:
  httpGet:
    path: /readyz
    port: operations
  {{- toYaml .Values.readinessProbe | nindent 2 }}
{{- with int .Values.preStopSleepSeconds }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ . }}
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - name: config
    mountPath: /etc/sfumato
    readOnly: true
  {{- if .Values.tls.secretName }}
  - name: tls
    mountPath: /etc/sfumato-tls
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /* Settings by variables win over the file. What they say here, the file cannot know. */ -}}
{{- define "sfumato.environment" -}}
# Also for `kubectl exec ... sfumato top` and `doctor`.
- name: SFUMATO_CONFIG
  value: /etc/sfumato/sfumato.yaml
- name: SFUMATO_KEYS
  valueFrom:
    secretKeyRef:
      name: {{ include "sfumato.keysSecretName" . }}
      key: {{ .Values.keys.secretKey }}
{{- if .Values.tls.secretName }}
- name: SFUMATO_TLS_CERT
  value: /etc/sfumato-tls/tls.crt
- name: SFUMATO_TLS_KEY
  value: /etc/sfumato-tls/tls.key
{{- end }}
{{- if not (dig "prometheus" "bind_addresses" "" .Values.config) }}
# Metrics and debugging for the cluster, not on every address of the node.
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
- name: SFUMATO_METRICS_BIND
  value: $(POD_IP),127.0.0.1
{{- end }}
{{- $nodePort := and (eq .Values.network.mode "service") (eq .Values.network.media.type "NodePort") }}
{{- if and $nodePort (not (dig "rtc" "node_ip" "" .Values.config)) }}
# Clients reach a node port at the node's address.
- name: SFUMATO_NODE_IP
  valueFrom:
    fieldRef:
      fieldPath: status.hostIP
{{- end }}
# The C library's arenas, one a thread, cost 14 % more memory with a thousand subscribers.
- name: MALLOC_ARENA_MAX
  value: "1"
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "sfumato.placement" -}}
{{- with .Values.nodeSelector -}}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if kindIs "slice" .Values.topologySpreadConstraints }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- else if eq .Values.kind "Deployment" }}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "sfumato.selectorLabels" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}
