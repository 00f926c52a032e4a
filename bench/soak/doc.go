// Command soak puts gateways under what strangers may do to them for as long as it takes to show, and says whether the honest
// connections beside it went on: floods of forged SYNs, and many far ends that stall or vanish in mid-transfer. It needs root and runs
// in network namespaces of its own (package topology), where all its traffic stays. `make soak` builds the programs and runs it.
//
// Each case prints what it asked for, what it measured, and what the gateways held at the worst moment; the exit status is 0 where every
// bar was met.
package main
