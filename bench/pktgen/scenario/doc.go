// Package scenario is the file that says what `linecrypt bench run` measures: traffic, ports, cores, time, what to measure, and the
// limits that make a run pass or fail. The table of keys in keys.go documents each key; package keyfile reads the YAML, as it does
// for the gateway's configuration, so that what is wrong is refused alike, with file, line and key.
//
// It checks what can be said without the machine. Whether there are cores, memory and ports for a scenario is the runner's to say,
// through Scenario.Err, which names the place of the key.
//
// A Scenario is plain data and refers to nothing of what it was parsed from.
package scenario
