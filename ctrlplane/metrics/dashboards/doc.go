// Package dashboards holds a dashboard for Grafana and alert rules for Prometheus, for what the control plane serves. Their queries are tried against
// real gateways by bench/gvisor.
package dashboards

import _ "embed" // the files

var (
	// Grafana is the dashboard, for Grafana's import.
	//
	//go:embed linecrypt.json
	Grafana []byte

	// Alerts are the rules, a file for rule_files.
	//
	//go:embed linecrypt.rules.yml
	Alerts []byte
)
