{{ define "child.name" }}child of {{ .Release.Name }}{{ end }}
