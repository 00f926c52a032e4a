package server

import (
	"net/netip"
	"os"
	"testing"

	"linecrypt/ctrlplane/session/wire"
)

// cacheOf is a cache of what could be resumed with one far end.
type cacheOf struct {
	far     netip.AddrPort
	flushed int
}

func (c *cacheOf) FlushConnection(_, b netip.AddrPort) (int, bool) {
	if b != c.far {
		return 0, false
	}
	c.flushed++
	return 1, true
}

func TestApplicationFlushesWhatBelongsToConnectionsOfItsOwnHostAlone(t *testing.T) {
	who := application{uid: 1, pid: int32(os.Getpid())}
	own, far := wire.Endpoint{Addr: ownAddress(t), Port: 4000}, wire.Endpoint{Addr: [16]byte{10: 0xff, 11: 0xff, 12: 198, 13: 51, 14: 100, 15: 2}, Port: 80}
	c := &cacheOf{far: netip.MustParseAddrPort("198.51.100.2:80")}
	if a := flushFor(c, &wire.Request{Verb: wire.Flush, Local: own, Remote: far}, who); a != wire.Done || c.flushed != 1 {
		t.Errorf("its own: %v, %d flushed", a, c.flushed)
	}
	if a := flushFor(c, &wire.Request{Verb: wire.Flush, Local: own, Remote: own}, who); a != wire.Unknown {
		t.Errorf("no connection: %v", a)
	}
	if a := flushFor(c, &wire.Request{Verb: wire.Flush, Local: far, Remote: far}, who); a != wire.Refused || c.flushed != 1 {
		t.Errorf("another host's: %v, %d flushed", a, c.flushed)
	}
}
