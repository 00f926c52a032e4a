package packetpath

// order is who sends when in one direction: it maps the number of a data segment, or of an acknowledgement, to a flow and how
// many segments of the flow's go before it, and back. It keeps nothing, so that a million flows cost nothing to foresee.
//
// Visit v is one turn of flow v+shift modulo flows. Visits go in groups of apart, which divides flows: the first segments of
// all visits of the group, then their second ones, and so on.
type order struct {
	flows int64
	turn  int64 // data segments of a visit
	apart int64
	shift int64
}

// newOrder makes an order of at most apart flows in one another.
func newOrder(flows, turn, apart, shift int) order {
	apart = min(apart, flows)
	for flows%apart != 0 {
		apart--
	}
	return order{flows: int64(flows), turn: int64(turn), apart: int64(apart), shift: int64(shift)}
}

// data returns whose data segment number d is, and how many segments the flow sent before it.
func (o order) data(d int64) (flow, before int64) {
	group, r := d/(o.turn*o.apart), d%(o.turn*o.apart)
	v := group*o.apart + r%o.apart
	return o.flow(v), v/o.flows*o.turn + r/o.apart
}

// number is the inverse of data.
func (o order) number(flow, before int64) int64 {
	v := before/o.turn*o.flows + o.place(flow)
	return v/o.apart*o.turn*o.apart + before%o.turn*o.apart + v%o.apart
}

// ack returns whose acknowledgement number v is, and how many of the flow's segments are acknowledged then.
func (o order) ack(v int64) (flow, segments int64) { return o.flow(v), (v/o.flows + 1) * o.turn }

// last returns the number of the last data segment of visit v.
func (o order) last(v int64) int64 {
	return v/o.apart*o.turn*o.apart + (o.turn-1)*o.apart + v%o.apart
}

// sent returns how many segments a flow has sent when d segments were sent by all.
func (o order) sent(flow, d int64) int64 {
	group, r := d/(o.turn*o.apart), d%(o.turn*o.apart)
	first, place := group*o.apart, o.place(flow)
	n := o.visits(place, first) * o.turn
	if j := modulo(place-first, o.flows); j < o.apart {
		n += r / o.apart
		if j < r%o.apart {
			n++
		}
	}
	return n
}

// acked returns how many segments of a flow are acknowledged when v acknowledgements were sent by all.
func (o order) acked(flow, v int64) int64 { return o.visits(o.place(flow), v) * o.turn }

func (o order) flow(v int64) int64     { return (v + o.shift) % o.flows }
func (o order) place(flow int64) int64 { return modulo(flow-o.shift, o.flows) }

// visits counts the visits of a place among the first v.
func (o order) visits(place, v int64) int64 {
	n := v / o.flows
	if place < v%o.flows {
		n++
	}
	return n
}

func modulo(a, n int64) int64 {
	if a %= n; a < 0 {
		a += n
	}
	return a
}
