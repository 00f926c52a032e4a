package top

import (
	"time"

	"linecrypt/ctrlplane/connections"
	"linecrypt/ctrlplane/sample"
	"linecrypt/ctrlplane/shm"
)

// listed is how many connections are looked at for their rates: beyond that, a screen of connections is of the oldest ones.
const listed = 1 << 16

// Reader makes frames of a segment, each against the one before it.
type Reader struct {
	seg    *shm.Segment
	ids    connections.IDs
	before sample.Sample
	list   []connections.Connection
	at     time.Time
}

// NewReader begins to measure. Ids may be nil.
func NewReader(seg *shm.Segment, ids connections.IDs) *Reader {
	r := &Reader{seg: seg, ids: ids, before: sample.Take(seg), at: time.Now()}
	r.list, _ = connections.ListEncrypted(seg, nil)
	return r
}

// Frame measures since the last call. Trouble is what the caller knows to be wrong.
func (r *Reader) Frame(trouble []string) (Frame, error) {
	now := sample.Take(r.seg)
	f := Frame{
		Name: r.seg.Name(), Inside: r.seg.Inside(), Outside: r.seg.Outside(), Policy: r.seg.Policy().String(), Since: r.seg.Created(),
		Trouble: trouble, Sample: now, Rates: now.Since(&r.before),
	}
	r.before = now
	list, err := connections.ListEncrypted(r.seg, r.ids)
	if err != nil {
		return f, err
	}
	list = list[:min(len(list), listed)]
	at := time.Now()
	connections.Measure(list, r.list, at.Sub(r.at))
	r.list, r.at, f.Connections = list, at, append([]connections.Connection(nil), list...)
	return f, nil
}
