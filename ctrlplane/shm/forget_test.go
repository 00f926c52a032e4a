package shm

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"linecrypt/ctrlplane/resumption"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

var testSecret = []byte("THIS IS A SECRET OF A CONNECTION")

// leaveKeys makes a data plane with keys in its records and rings, and returns the address of its connection.
func leaveKeys(t *testing.T, dir string) (*Segment, flowtable.Key) {
	t.Helper()
	s := mustCreate(t, dir, testParams(t))
	key := flowtable.Key{InsidePort: 80, OutsidePort: 1024}
	for i := range s.Workers() {
		w := s.Worker(i)
		table, err := flowtable.New(w.FlowMemory, w.Layout, [2]uint64{1, 2}, 0)
		if err != nil {
			t.Fatal(err)
		}
		at, _ := table.Insert(&key, table.Hash(&key), 0)
		table.SetState(at, flowtable.Encrypted)
		copy(table.Record(at).Rare.Seal.Master[:], testSecret)
		reply := Reply{Kind: Keys, Role: flowtable.RoleA}
		copy(reply.Keys.Master[:], testSecret)
		if !NewProducer(w.Replies).SendReply(&reply) {
			t.Fatal("no room")
		}
		q := Request{Kind: ActiveKeys, ENOA: []byte{69, 2}, ENOB: []byte{69, 2}, Secret: testSecret, Init1: make([]byte, 8), Init2: make([]byte, 8)}
		if !NewProducer(w.Requests).SendRequest(&q) {
			t.Fatal("no room")
		}
	}
	if !bytes.Contains(content(t, dir), testSecret) {
		t.Fatal("there is no secret to forget")
	}
	return s, key
}

func content(t *testing.T, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(Path(dir, "test"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKeysOfAKilledDataPlaneAreForgottenAndItsConnectionsAreNot(t *testing.T) {
	for name, forget := range map[string]func(t *testing.T, dir string) error{
		"by run": func(_ *testing.T, dir string) error { return ForgetKeys(dir, "test") },
		"by the control plane": func(t *testing.T, dir string) error {
			c, err := OpenControl(dir, "test")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			return c.ForgetKeys()
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachPlace(t, func(t *testing.T, dir string) {
				data, key := leaveKeys(t, dir)
				if err := forget(t, dir); !errors.Is(err, ErrBusy) {
					t.Errorf("while the data plane runs: %v", err)
				}
				if !bytes.Contains(content(t, dir), testSecret) {
					t.Fatal("keys of a data plane that runs are gone")
				}
				data.Close()
				if err := forget(t, dir); err != nil {
					t.Fatal(err)
				}
				if bytes.Contains(content(t, dir), testSecret) {
					t.Error("a key is left")
				}
				tool, err := Open(dir, "test")
				if err != nil {
					t.Fatal(err)
				}
				defer tool.Close()
				for i := range tool.Workers() {
					table, err := tool.Worker(i).Flows()
					if err != nil {
						t.Fatal(err)
					}
					if r := table.Record(table.Lookup(&key, table.Hash(&key))); r == nil || r.State != flowtable.Encrypted {
						t.Errorf("worker %d: the connection is gone too", i)
					}
					if m, err := NewConsumer(tool.Worker(i).Replies).Peek(); m != nil || err != nil {
						t.Errorf("worker %d: in the ring is %x, %v", i, m, err)
					}
				}
				again, err := Adopt(dir, testParams(t))
				if err != nil {
					t.Fatal(err)
				}
				again.Close()
			})
		})
	}
}

func TestSegmentThatCannotBeReadIsRemovedWithItsKeys(t *testing.T) {
	eachPlace(t, testUnreadableIsRemoved)
}

func testUnreadableIsRemoved(t *testing.T, dir string) {
	data, _ := leaveKeys(t, dir)
	data.hdr.version++
	data.Close()
	if err := ForgetKeys(dir, "test"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(Path(dir, "test")); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	if err := ForgetKeys(dir, "test"); err != nil {
		t.Errorf("without a segment: %v", err)
	}
	if err := ForgetKeys(dir, "../test"); !errors.Is(err, ErrParams) {
		t.Errorf("of no name: %v", err)
	}
}

func TestFlowMemoryWithoutATableIsErased(t *testing.T) { eachPlace(t, testWithoutTableIsErased) }

func testWithoutTableIsErased(t *testing.T, dir string) {
	data, _ := leaveKeys(t, dir)
	clear(data.Worker(0).FlowMemory[:64])
	data.Close()
	if err := ForgetKeys(dir, "test"); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(content(t, dir), testSecret) {
		t.Error("a key is left")
	}
}

func TestForgottenKeysIncludeTheSecretsToResumeWith(t *testing.T) {
	dir := t.TempDir()
	p := testParams(t)
	p.Resumption = 64
	s := mustCreate(t, dir, p)
	table, err := s.Resumption()
	if err != nil || table.Capacity() != 64 {
		t.Fatalf("table of %d: %v", table.Capacity(), err)
	}
	secret := tcpcrypt.Secret{1, 2, 3}
	next := secret.Next()
	cache := resumption.NewCache(table, time.Hour)
	keep := func() {
		cache.Keep(resumption.Session{
			Secret: &secret, TEP: tcpcrypt.ECDHECurve25519, AEAD: tcpcrypt.AES128GCM, Flow: resumption.Flow{Index: 1}, Tuple: &flowtable.Key{},
		}, 1)
		if !bytes.Contains(content(t, dir), next[:]) {
			t.Fatal("the secret is not in the segment")
		}
	}
	keep()
	s.ForgetSecrets()
	if bytes.Contains(content(t, dir), next[:]) {
		t.Error("a data plane that stops leaves a secret")
	}
	cache = resumption.NewCache(table, time.Hour)
	keep()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ForgetKeys(dir, p.Name); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(content(t, dir), next[:]) {
		t.Error("a secret outlives its data plane")
	}
}
