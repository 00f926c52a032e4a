// Package fairqueue is where costly requests of many peers wait for one server, so that no peer and no kind of request can
// starve another.
//
// Time is shared in three steps. Requests are of classes by what they cost (one key agreement each): every class in which
// something waits gets the same time, so that a class whose requests are dear is served more rarely, and a cheap request
// waits for at most one dear one. Within a class the peers take turns, within a peer its lines (pairs of hosts), within a
// line the requests that are urgent go first, and then the older ones. Nobody who waits is passed over for ever.
//
// Memory is shared by the same order: all requests have bounds together, and while those are not reached, one peer may have all of it.
// When one is reached, the newest request of the line that holds most is dropped, of the peer that holds most. The newest, because
// those before it have waited longest and are served in time; one that is not urgent first, because less is lost with it. What one
// peer has waiting is bounded by its cost too, for more than can be worked in time is of no use to it. A request that has waited longer than anyone waits for its answer is dropped unserved.
//
// It is a pure data structure: it knows no clock, no goroutine and nothing of what the requests are. It owns the requests
// between Push and the moment at which it hands them out by Next or to the function that New was given.
package fairqueue
