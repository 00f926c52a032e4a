package connections

import (
	"strings"
	"testing"
	"time"

	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// oneID is a table with one entry.
type oneID sessiontable.Entry

func (o *oneID) Lookup(key *flowtable.Key, e *sessiontable.Entry) bool {
	*e = sessiontable.Entry(*o)
	return *key == o.Tuple
}

func testKey() flowtable.Key {
	return flowtable.Key{Inside: [16]byte{0x20, 1, 0xd, 0xb8, 15: 1}, Outside: [16]byte{0x20, 1, 0xd, 0xb8, 15: 2}, InsidePort: 443, OutsidePort: 50000}
}

func TestSessionIDOfAnEarlierConnectionIsNotShown(t *testing.T) {
	c := Connection{Ref: shm.FlowRef{Worker: 1, Index: 2, Gen: 3}, Key: testKey()}
	ids := oneID{Tuple: testKey(), Worker: 1, Index: 2, Gen: 3, SessionID: [33]byte{0x23, 32: 0xff}}
	if c.publish(&ids); len(c.SessionID) != 66 || !strings.HasPrefix(c.SessionID, "2300") || !strings.HasSuffix(c.SessionID, "ff") {
		t.Errorf("session ID %q", c.SessionID)
	}
	c.SessionID, ids.Gen = "", 2
	if c.publish(&ids); c.SessionID != "" {
		t.Errorf("session ID %q of generation 2 for generation 3", c.SessionID)
	}
}

func TestWhatIsPublishedOfAConnectionIsShown(t *testing.T) {
	c := Connection{Ref: shm.FlowRef{Worker: 1, Index: 2, Gen: 3}, Key: testKey()}
	c.publish(&oneID{Tuple: testKey(), Worker: 1, Index: 2, Gen: 3, Resumed: true, PeerAware: true, Auth: sessiontable.AuthMismatch})
	if !c.Resumed || c.OwnAware || !c.PeerAware || c.Auth != "mismatch" {
		t.Errorf("%+v", c)
	}
}

func TestRateIsOfTheSameConnectionAlone(t *testing.T) {
	before := []Connection{{Ref: shm.FlowRef{Index: 1, Gen: 1}, Sealed: Traffic{Bytes: 100}}, {Ref: shm.FlowRef{Index: 2, Gen: 1}}}
	now := []Connection{{Ref: shm.FlowRef{Index: 1, Gen: 1}, Sealed: Traffic{Bytes: 200}, Opened: Traffic{Bytes: 25}}, {Ref: shm.FlowRef{Index: 2, Gen: 2}, Opened: Traffic{Bytes: 9}}}
	Measure(now, before, time.Second/2)
	if now[0].Rate != 2000 || now[1].Rate != 0 {
		t.Errorf("%v and %v bit/s", now[0].Rate, now[1].Rate)
	}
}
