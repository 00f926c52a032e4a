package port

import "linecrypt/dataplane/mbuf"

// An Inspector looks at every packet for an unfinished checksum until it has seen this many, and then at one in so many bursts.
const (
	inspectFirst = 1024
	inspectEvery = 256
)

// Inspector counts packets with unfinished checksums, among the first ones and then among a sample, for a queue whose driver does not
// say which have one. The polling worker uses it; any goroutine may ask what it counted.
type Inspector struct {
	seen       int // packets, then bursts, that were looked at
	unfinished Count
}

// Look looks at a burst.
func (i *Inspector) Look(ms []*mbuf.Mbuf) {
	if i.seen >= inspectFirst {
		if i.seen++; i.seen%inspectEvery != 0 || len(ms) == 0 {
			return
		}
		ms = ms[:1]
	} else {
		i.seen += len(ms)
	}
	for _, m := range ms {
		if UnfinishedChecksum(m.Data()) {
			i.unfinished.Add(1)
		}
	}
}

// Unfinished returns how many it has found.
func (i *Inspector) Unfinished() uint64 { return i.unfinished.Load() }
