package ends

// queue is a queue of connections, each in it once at most: whoever adds one knows.
type queue struct {
	all        []uint32
	head, size int
}

// init makes room for n connections.
func (q *queue) init(n int) { q.all = make([]uint32, n+1) }

func (q *queue) push(n uint32) {
	at := q.head + q.size
	if at >= len(q.all) {
		at -= len(q.all)
	}
	q.all[at] = n
	q.size++
}

func (q *queue) pop() uint32 {
	n := q.all[q.head]
	if q.head++; q.head == len(q.all) {
		q.head = 0
	}
	q.size--
	return n
}
