{{- /*
Owns what the chart refuses, with what to do instead: values that are well-formed (values.schema.json holds that) but cannot work.
All that is wrong is told at once.
*/ -}}

{{- define "sfumato.refuse" -}}
{{- $wrong := concat
    (include "sfumato.refusals.several" . | fromYamlArray)
    (include "sfumato.refusals.secrets" . | fromYamlArray)
    (include "sfumato.refusals.network" . | fromYamlArray)
    (include "sfumato.refusals.ports" . | fromYamlArray)
    (include "sfumato.refusals.resources" . | fromYamlArray) -}}
{{- if $wrong -}}
{{- fail (printf "\n\n  - %s\n" (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}

{{- /* Servers do not share rooms yet: two who join one room at two servers would not meet. */ -}}
{{- define "sfumato.refusals.several" -}}
{{- $wrong := list -}}
{{- $reason := "servers do not share rooms yet, so people of one room who reach different servers would not meet. If you send everybody of a room to the same server yourself, set independentNodes=true" -}}
{{- $scaled := .Values.autoscaling.enabled -}}
{{- if not .Values.independentNodes -}}
{{- if and (eq .Values.kind "Deployment") (gt (int .Values.replicas) 1) (not $scaled) -}}
{{- $wrong = append $wrong (printf "replicas is %d: %s" (int .Values.replicas) $reason) -}}
{{- end -}}
{{- if and $scaled (gt (int .Values.autoscaling.maxReplicas) 1) -}}
{{- $wrong = append $wrong (printf "autoscaling.maxReplicas is %d: %s" (int .Values.autoscaling.maxReplicas) $reason) -}}
{{- end -}}
{{- if and (eq .Values.kind "DaemonSet") (include "sfumato.several" .) -}}
{{- $wrong = append $wrong (printf "a DaemonSet runs a server on every node it matches: %s; or pin it to one node by nodeSelector (kubernetes.io/hostname)" $reason) -}}
{{- end -}}
{{- end -}}
{{- if $scaled -}}
{{- if eq .Values.kind "DaemonSet" -}}
{{- $wrong = append $wrong "autoscaling needs kind=Deployment: the nodes decide how many servers a DaemonSet has" -}}
{{- end -}}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) -}}
{{- $wrong = append $wrong "autoscaling.minReplicas is more than autoscaling.maxReplicas" -}}
{{- end -}}
{{- if not (or (gt (int .Values.autoscaling.cpuPercent) 0) .Values.autoscaling.shardBusyRatio) -}}
{{- $wrong = append $wrong "autoscaling has nothing to go by: set autoscaling.cpuPercent or autoscaling.shardBusyRatio" -}}
{{- end -}}
{{- end -}}
{{- if $wrong }}{{ toYaml $wrong }}{{ else }}[]{{ end -}}
{{- end -}}

{{- define "sfumato.refusals.secrets" -}}
{{- $wrong := list -}}
{{- if hasKey .Values.config "keys" -}}
{{- $wrong = append $wrong "config.keys would put secrets into a ConfigMap: use keys.existingSecret or keys.values" -}}
{{- end -}}
{{- if and .Values.keys.existingSecret .Values.keys.values -}}
{{- $wrong = append $wrong "keys.existingSecret and keys.values are both given: take one" -}}
{{- end -}}
{{- if not (or .Values.keys.existingSecret .Values.keys.values) -}}
{{- $wrong = append $wrong "no API keys, so nobody could join: name a Secret by keys.existingSecret, or set keys.values.MY_KEY to a secret (openssl rand -base64 32)" -}}
{{- end -}}
{{- range $key, $secret := .Values.keys.values -}}
{{- if lt (len (toString $secret)) 32 -}}
{{- $wrong = append $wrong (printf "the secret of keys.values.%s has fewer than 32 characters (openssl rand -base64 32 makes a good one)" $key) -}}
{{- end -}}
{{- end -}}
{{- if dig "development" false .Values.config -}}
{{- $wrong = append $wrong "config.development: its keys are publicly known, and it serves loopback only" -}}
{{- end -}}
{{- if and .Values.tls.secretName (hasKey .Values.config "tls") -}}
{{- $wrong = append $wrong "tls.secretName and config.tls are both given: the first mounts a Secret and names its files to the server" -}}
{{- end -}}
{{- if $wrong }}{{ toYaml $wrong }}{{ else }}[]{{ end -}}
{{- end -}}

{{- define "sfumato.refusals.network" -}}
{{- $wrong := list -}}
{{- $media := .Values.network.media -}}
{{- if eq .Values.network.mode "service" -}}
{{- if not (hasKey .Values.config "shards") -}}
{{- $wrong = append $wrong "network.mode=service needs config.shards: the media Service has one UDP port for each" -}}
{{- end -}}
{{- if and (eq $media.type "LoadBalancer") (not (dig "rtc" "node_ip" "" .Values.config)) -}}
{{- $wrong = append $wrong "network.media.type=LoadBalancer needs config.rtc.node_ip, the address of the load balancer: clients are told to send media there" -}}
{{- end -}}
{{- if eq $media.type "NodePort" -}}
{{- $first := include "sfumato.mediaPort" . | int -}}
{{- $last := sub (add $first (include "sfumato.mediaPorts" . | int)) 1 | int -}}
{{- $low := index $media.nodePortRange 0 | int -}}
{{- $high := index $media.nodePortRange 1 | int -}}
{{- if or (lt $first $low) (gt $last $high) -}}
{{- $wrong = append $wrong (printf "network.media.type=NodePort: media ports are %d to %d (config.rtc.udp_port, config.shards) and must lie within %d to %d, since clients are told the server's own ports" $first $last $low $high) -}}
{{- end -}}
{{- end -}}
{{- $oneANode := and (eq .Values.kind "DaemonSet") (eq $media.type "NodePort") (eq $media.externalTrafficPolicy "Local") -}}
{{- if and .Values.independentNodes (include "sfumato.several" .) (not $oneANode) -}}
{{- $wrong = append $wrong "network.mode=service with several servers: a Service would spread one participant's media over all of them. Use network.mode=host, or a DaemonSet with network.media.type=NodePort and externalTrafficPolicy=Local" -}}
{{- end -}}
{{- else if .Values.networkPolicy.enabled -}}
{{- $wrong = append $wrong "networkPolicy does nothing for pods in their node's network (network.mode=host): close ports by the node's firewall, or use network.mode=service" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- $wrong = append $wrong "ingress.enabled needs ingress.host" -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled -}}
{{- $wrong = append $wrong "podMonitor and serviceMonitor are both enabled: every figure would be counted twice" -}}
{{- end -}}
{{- if $wrong }}{{ toYaml $wrong }}{{ else }}[]{{ end -}}
{{- end -}}

{{- define "sfumato.refusals.ports" -}}
{{- $wrong := list -}}
{{- $signalling := include "sfumato.signallingPort" . | int -}}
{{- $operations := include "sfumato.operationsPort" . | int -}}
{{- $media := include "sfumato.mediaPort" . | int -}}
{{- range $key, $port := dict "port" $signalling "prometheus.port" $operations "rtc.udp_port" $media -}}
{{- if or (lt $port 1) (gt $port 65535) -}}
{{- $wrong = append $wrong (printf "config.%s is %d: Services and probes need a port from 1 to 65535" $key $port) -}}
{{- end -}}
{{- end -}}
{{- if eq $signalling $operations -}}
{{- $wrong = append $wrong (printf "config.port and config.prometheus.port are both %d" $signalling) -}}
{{- end -}}
{{- if gt (add $media (include "sfumato.mediaPorts" . | int) | int) 65536 -}}
{{- $wrong = append $wrong (printf "config.rtc.udp_port is %d: config.shards ports from there on go past 65535" $media) -}}
{{- end -}}
{{- if $wrong }}{{ toYaml $wrong }}{{ else }}[]{{ end -}}
{{- end -}}

{{- define "sfumato.refusals.resources" -}}
{{- $wrong := list -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.cpuPercent) 0) (not (dig "requests" "cpu" "" .Values.resources)) -}}
{{- $wrong = append $wrong "autoscaling.cpuPercent is a share of resources.requests.cpu, which is not set" -}}
{{- end -}}
{{- if and (gt (int .Values.preStopSleepSeconds) 0) (semverCompare "<1.30.0-0" .Capabilities.KubeVersion.Version) -}}
{{- $wrong = append $wrong "preStopSleepSeconds needs Kubernetes 1.30 or newer" -}}
{{- end -}}
{{- if $wrong }}{{ toYaml $wrong }}{{ else }}[]{{ end -}}
{{- end -}}
