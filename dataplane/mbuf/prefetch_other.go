//go:build !amd64

package mbuf

// Elsewhere nothing is asked for ahead of time: what is read comes when it is read.

func prefetchFirst(**byte, int)         {}
func prefetchStarts(**byte, int)        {}
func prefetchHeaders(**byte, int)       {}
func prefetchLines(*byte, int)          {}
func prefetchPacket(_, _, _ *byte)      {}
func prefetchRow(_, _ *byte)            {}
func prefetchFour(_, _, _, _ *byte)     {}
func prefetchEvery(*byte, uintptr, int) {}
