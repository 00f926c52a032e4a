package sample

import (
	"testing"
	"time"

	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

func TestRatesAreOfWhatGrewBetweenTwoReadings(t *testing.T) {
	seg, err := shm.Create(t.TempDir(), shm.Params{
		Name: "gw", Inside: "a", Outside: "b", Engine: "generic", Cores: []int{2, -1}, Flows: flowtable.Layout{Capacity: 64, Chunks: 8}, RequestRing: 128 << 10, ReplyRing: 128 << 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer seg.Close()
	c := seg.Worker(1).Counters
	c[shm.BusyCycles], c[shm.SealedBytes] = 100, 1000
	before := Take(seg)
	c[shm.BusyCycles], c[shm.IdleCycles] = 400, 900
	c[shm.RxInsidePackets], c[shm.RxOutsideBytes] = 50, 1000
	c[shm.SealedBytes] += 500
	c[shm.HandshakesDone], c[shm.PlainMet], c[shm.RefusedTableFull], c[shm.AbortAuth] = 4, 3, 2, 1
	c[shm.DropRxMissed], c[shm.DropEgressOld] = 10, 20
	c[shm.StageCrypto.Packets()], c[shm.StageCrypto.Cycles()] = 10, 630
	now := Take(seg)
	now.At = before.At.Add(2 * time.Second)
	r := now.Since(&before)
	w := r.Workers[1]
	if r.Sealed != 2000 || r.Handshakes != 2 || r.Plain != 1.5 || r.Refused != 1 || r.Aborted != 0.5 || r.Drops["drop_rx_missed"] != 5 || r.Drops["drop_egress_old"] != 10 {
		t.Errorf("%+v", r)
	}
	if w.Packets != 25 || w.Bits != 4000 || w.Busy != 0.25 || w.Lost != 5 || w.Cycles[shm.StageCrypto] != 63 || w.Cycles[shm.StageRx] != 0 || now.Workers[0].Core != 2 {
		t.Errorf("%+v", w)
	}
	if back := before.Since(&now); back.Sealed != 0 || back.Workers[1].Packets != 0 {
		t.Errorf("a data plane that began anew: %+v", back)
	}
}
