package packetpath

// Taken is what one batch took.
type Taken struct {
	Packets uint64
	Ticks   uint64 // of the time-stamp counter
	Whole   bool   // the thread had its core all the time
}

// Batches runs a load and calls f after each batch, while the clock stands, as long as it returns true.
func (w *World) Batches(l Load, f func(Taken) bool) error {
	return w.under(l, func(l Load) error {
		for {
			var t totals
			if err := w.run(&t, l, uint64(l.Batch), false); err != nil {
				return err
			}
			if !f(Taken{t.packets, t.ticks, t.lost == 0}) {
				return nil
			}
		}
	})
}

// comparison is the order in which batches with something, and without it, follow one another: what changes slowly weighs on both alike.
var comparison = [...]bool{false, true, true, false, true, false, false, true}

// Compare runs a load while set turns something on and off between batches, and returns that many ratios, fewer where the thread loses its
// core time and again: of a packet's time with it to that without it, each of a few batches of either sort.
func (w *World) Compare(l Load, ratios int, set func(on bool)) (list []float64, err error) {
	err = w.under(l, func(l Load) error {
		for tries := 0; len(list) < ratios && tries < (1+patience)*ratios; tries++ {
			var with, without totals
			for _, on := range comparison {
				set(on)
				t := &without
				if on {
					t = &with
				}
				if err := w.run(t, l, uint64(l.Batch), false); err != nil {
					return err
				}
			}
			if with.lost+without.lost == 0 {
				list = append(list, with.perPacket()/without.perPacket())
			}
		}
		return nil
	})
	return list, err
}

// perPacket is the ticks that a packet took.
func (t *totals) perPacket() float64 { return float64(t.ticks) / float64(t.packets) }
