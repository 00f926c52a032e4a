package fairqueue

import "container/heap"

// holder is somebody who holds a share, and its place in a heap of such.
type holder struct {
	share int64
	at    int
}

func (h *holder) self() *holder { return h }

// shareholder is what embeds a holder.
type shareholder interface{ self() *holder }

// holders is a heap with the one that holds most in front.
type holders []shareholder

// Len is for package heap, as are the methods up to Pop.
func (h holders) Len() int { return len(h) }

// Less puts the larger share in front.
func (h holders) Less(i, j int) bool { return h[i].self().share > h[j].self().share }

// Swap keeps the places.
func (h holders) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].self().at, h[j].self().at = i, j
}

// Push appends a holder.
func (h *holders) Push(x any) {
	s := x.(shareholder)
	s.self().at = len(*h)
	*h = append(*h, s)
}

// Pop takes the last one away.
func (h *holders) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	return last
}

// add changes what one of the heap holds.
func (h *holders) add(s *holder, n int64) {
	s.share += n
	heap.Fix(h, s.at)
}
