package wire

import "linecrypt/dataplane/mbuf"

// entry is a packet with the time at which it is there.
type entry struct {
	m  *mbuf.Mbuf
	at int64
}

// fifo is a queue of packets of one thread. It grows when it must, which ends soon.
type fifo struct {
	all        []entry
	head, size int
}

func (f *fifo) push(e entry) {
	if f.size == len(f.all) {
		grown := make([]entry, max(2*len(f.all), 1024))
		for i := range f.size {
			grown[i] = f.all[(f.head+i)%len(f.all)]
		}
		f.all, f.head = grown, 0
	}
	at := f.head + f.size
	if at >= len(f.all) {
		at -= len(f.all)
	}
	f.all[at] = e
	f.size++
}

// peek returns entry i from the front, which is there.
func (f *fifo) peek(i int) *entry {
	at := f.head + i
	if at >= len(f.all) {
		at -= len(f.all)
	}
	return &f.all[at]
}

func (f *fifo) pop() entry {
	e := f.all[f.head]
	if f.head++; f.head == len(f.all) {
		f.head = 0
	}
	f.size--
	return e
}
