// Package pktgen runs the scenarios of `linecrypt bench run`: it puts a gateway's worker and a load together, or a load on two ports of
// this machine with a gateway elsewhere between them, measures, and says whether the scenario's limits are kept.
//
// What is measured is a gateway's own code, from the port to the port: package dataplane/gateway makes segment and worker as for a
// process of its own, and a control plane of this package (control.go) answers with what package ctrlplane/responder says. Only the
// flow table's size, the policy and when keys are changed are the scenario's.
//
// Two ways to drive it:
//
//	turns   (turns.go)    generator and worker take turns in one thread. Only the worker's polls move the clock, so that it is as
//	                      if packets came at any rate from a machine that costs nothing: the figures are those of one core
//	beside  (beside.go)   the worker runs as in production on a core of its own, the generator on another, in real time; with
//	                      ports of kind device there is no worker in the process
//
// Several workers (several.go) take turns as a crew (crew.go): while the generator makes packets they wait, and then handle them at the
// same time, each on its core. Scaling (scaling.go) compares them with one.
//
// What is driven is a subject: a gateway (instance.go), or, to compare latency with (against.go), a forwarder that touches no packet
// (forwarder.go).
//
// Cycles by stage are the worker's own counters, which nest: what is sealed or sent in the middle of a burst counts for stream too.
//
// In turns a poll, or a round of a crew, during which the machine ran something else in a thread's place is left out of the clock, and
// counted.
package pktgen
