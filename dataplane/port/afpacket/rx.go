package afpacket

import (
	"encoding/binary"
	"errors"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// errorCheck is the number of polls without a packet after which a pending socket error is fetched. A socket whose
// interface went down or away polls readable for ever until then.
const errorCheck = 256

// queue is one queue pair of a Port. One worker uses it.
type queue struct {
	*port.Descriptor
	cache *mbuf.Cache
	at    *sockets                // the worker's own
	next  atomic.Pointer[sockets] // what the worker is to go over to, nil for nothing
	idle  int
	rx    receiver
	tx    messages

	superPackets, truncated, noMbuf, unkept, completed, txErrors port.Count

	// What follows belongs to the goroutine that opens, follows and closes the port.
	current  *sockets   // in use or handed over
	replaced []*sockets // until the worker has let go of them
	missed   uint64
}

func newQueue(cache *mbuf.Cache) (*queue, error) {
	d, err := port.NewDescriptor()
	if err != nil {
		return nil, err
	}
	q := &queue{Descriptor: d, cache: cache}
	q.rx.prepare()
	q.tx.prepare()
	return q, nil
}

// RxBurst implements port.Queue. The segments of a super-packet that there is no room for come with the next polls.
func (q *queue) RxBurst(ms []*mbuf.Mbuf) int {
	s, n := q.at, q.rx.hand(ms)
	for n < len(ms) {
		off := s.next * s.frameSize
		slot := s.ring[off : off+s.frameSize]
		hdr := (*unix.Tpacket2Hdr)(unsafe.Pointer(unsafe.SliceData(slot)))
		status := atomic.LoadUint32(&hdr.Status)
		if status&unix.TP_STATUS_USER == 0 {
			break
		}
		if m := q.take(slot, hdr, status); m != nil {
			ms[n] = m
			n++
		} else if q.rx.n > q.rx.next {
			n += q.rx.hand(ms[n:])
		}
		atomic.StoreUint32(&hdr.Status, unix.TP_STATUS_KERNEL)
		s.next = (s.next + 1) % s.frames
	}
	if n > 0 {
		q.idle = 0
	} else {
		q.rest()
	}
	return n
}

// rest is what a poll does that found nothing: now and then it clears the socket's error, and it goes over to other sockets
// where there are some.
func (q *queue) rest() {
	if next := q.next.Load(); next != nil && q.next.CompareAndSwap(next, nil) {
		q.at, q.idle = next, 0
		return
	}
	if q.idle++; q.idle%errorCheck == 0 {
		q.at.clearError()
	}
}

// take copies a slot's packet into a buffer, or makes the receiver's segments of it, or counts why it cannot; then it returns nil.
func (q *queue) take(slot []byte, hdr *unix.Tpacket2Hdr, status uint32) *mbuf.Mbuf {
	start, n := int(hdr.Mac), int(hdr.Snaplen)
	kept := status&unix.TP_STATUS_COPY != 0
	if start < vnetHeader || start > len(slot) || n > len(slot)-start || n < ethHeader {
		q.truncated.Add(1)
		q.forget(kept)
		return nil
	}
	vnet := parseVnet(slot[start-vnetHeader:])
	total := int(hdr.Len)
	if status&unix.TP_STATUS_VLAN_VALID != 0 {
		total += vlanTag
	}
	switch {
	case vnet.gso != 0:
		q.takeSuper(slot[start:start+n], hdr, status, vnet)
		return nil
	case int64(total) > q.at.maxFrame.Load():
		q.superPackets.Add(1)
		q.forget(kept)
		return nil
	case n != int(hdr.Len):
		q.truncated.Add(1)
		q.forget(kept)
		return nil
	}
	m := q.cache.Alloc()
	if m == nil {
		q.noMbuf.Add(1)
		return nil
	}
	if total > m.TailroomLen() {
		q.cache.Free(m)
		q.superPackets.Add(1)
		return nil
	}
	m.SetBounds(m.DataOff(), total)
	copyTagged(m.Data(), slot[start:start+n], hdr, status)
	m.OlFlags = q.checksum(m.Data()[total-n:], &vnet, status)
	return m
}

// forget discards what the kernel kept of a slot's packet beside the ring, if it kept anything.
func (q *queue) forget(kept bool) {
	if kept {
		q.at.discard()
	}
}

// checksum completes an unfinished checksum and returns the receive flags. The IPv4 header's own checksum is never known
// to be good, because the kernel verifies it later than here.
func (q *queue) checksum(frame []byte, vnet *vnetInfo, status uint32) uint64 {
	if vnet.needsSum() {
		if !complete(frame, vnet.csumStart, vnet.csumOffset) {
			return mbuf.RxL4CksumBad
		}
		q.completed.Add(1)
		return mbuf.RxL4CksumGood
	}
	if status&unix.TP_STATUS_CSUM_VALID != 0 {
		return mbuf.RxL4CksumGood
	}
	return 0
}

// copyTagged copies frame to dst, as much as fits, with the tag that the kernel had taken out, if it had.
func copyTagged(dst, frame []byte, hdr *unix.Tpacket2Hdr, status uint32) {
	if status&unix.TP_STATUS_VLAN_VALID == 0 {
		copy(dst, frame)
		return
	}
	const addrs = 12
	tpid := uint16(unix.ETH_P_8021Q)
	if status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		tpid = hdr.Vlan_tpid
	}
	copy(dst, frame[:addrs])
	binary.BigEndian.PutUint16(dst[addrs:], tpid)
	binary.BigEndian.PutUint16(dst[addrs+2:], hdr.Vlan_tci)
	copy(dst[addrs+vlanTag:], frame[addrs:])
}

// Stats implements port.Queue.
func (q *queue) Stats() port.Stats {
	if q.current != nil {
		q.missed += q.current.missed()
	}
	for _, s := range q.replaced {
		q.missed += s.missed()
	}
	return port.Stats{
		RxMissed: q.missed + q.unkept.Load(), RxNoMbuf: q.noMbuf.Load(), RxSuperPacket: q.superPackets.Load(), RxTruncated: q.truncated.Load(),
		RxCsumComplete: q.completed.Load(), TxErrors: q.txErrors.Load(),
	}
}

// replace hands sockets to the worker. Those in use until then are closed once it has let go of them.
func (q *queue) replace(fresh *sockets) error {
	if q.current == nil {
		q.at = fresh
	} else {
		q.next.Store(fresh)
		q.replaced = append(q.replaced, q.current)
	}
	q.current = fresh
	return q.Watch(fresh.rxFd)
}

// closeReplaced closes the sockets that were replaced, once the worker has taken the newest ones.
func (q *queue) closeReplaced() error {
	if q.next.Load() != nil {
		return nil
	}
	for _, s := range q.replaced {
		q.missed += s.missed()
	}
	err := closeAll(q.replaced)
	q.replaced = nil
	return err
}

func (q *queue) close() error {
	q.cache.FreeBurst(q.rx.segments[q.rx.next:q.rx.n])
	q.rx.next, q.rx.n = 0, 0
	errs := []error{closeAll(q.replaced), q.Descriptor.Close()}
	if q.current != nil {
		errs = append(errs, q.current.close())
	}
	q.current, q.replaced = nil, nil
	return errors.Join(errs...)
}
