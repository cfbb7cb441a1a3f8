{{ define "common.name" }}{{ .Release.Name }}-{{ .Values.global.domain }}{{ end }}
