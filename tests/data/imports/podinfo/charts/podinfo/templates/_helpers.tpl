{{- define "podinfo.fullname" -}}
{{ .Release.Name }}
{{- end }}
